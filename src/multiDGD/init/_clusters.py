"""Mixture components from the clusters, or the classes, of an embedding."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.special import entr
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

Array = npt.NDArray[np.float32]
Codes = npt.NDArray[np.integer]
Start = tuple[Array, Array, Array]

PSEUDO_CELLS = 10.0
"""A component of this many cells trusts its own variance and the pooled one alike."""
_MINIBATCH_CELLS = 50_000
_GRID = (1, 2, 3, 4, 5, 7, 10, 14, 20, 28, 38, 50)
_CHOICE_CELLS = 2_000


def cluster_start(
    embedding: npt.NDArray[np.floating], n_clusters: int, *, seed: int = 0, n_init: int = 3
) -> Start:
    r"""Means, variances and weights of the k-means clusters of an embedding.

    The variance of cluster k with :math:`n_k` cells is shrunk towards that within all clusters,
    :math:`(\sum_{i \in k} (z_i - \mu_k)^2 + 10 \bar v) / (n_k + 10)`; its weight is
    :math:`(n_k + 1) / (n + K)`. Where there are fewer distinct cells than clusters, the spare
    components are placed around the largest cluster, at its own spread.

    Parameters
    ----------
    embedding
        Shape ``(n_cells, L)``, at least one cell.
    n_clusters
        Number of components K.
    seed
        Seed of k-means (in mini-batches beyond 50,000 cells).
    n_init
        Number of starts of k-means, of which the best is kept.

    Returns
    -------
    tuple of numpy.ndarray
        Means ``(K, L)``, variances ``(K, L)``, all positive, and weights ``(K,)``, which sum
        to 1; float32.

    Raises
    ------
    ValueError
        If ``embedding`` is no matrix or has no cells.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.repeat([[0.0, 0.0], [8.0, 8.0]], 20, axis=0)
    >>> means, variances, weights = cluster_start(x, 2)
    >>> np.sort(means[:, 0]).tolist(), weights.tolist()
    ([0.0, 8.0], [0.5, 0.5])
    """
    return class_start(embedding, np.zeros(len(embedding), int), 1, n_clusters, seed, n_init)


def class_start(
    embedding: npt.NDArray[np.floating],
    labels: Codes,
    n_classes: int,
    n_per_class: int = 1,
    seed: int = 0,
    n_init: int = 3,
) -> Start:
    """Means, variances and weights of the k-means clusters of each class of an embedding.

    As :func:`cluster_start`, class c owning the components ``c * n_per_class`` to
    ``(c + 1) * n_per_class - 1``. The components of a class without labelled cells lie around the
    centre of all cells, as wide as they are, with the weight of a class of no cells.

    Parameters
    ----------
    embedding
        Shape ``(n_cells, L)``, at least one cell.
    labels
        Class of each cell, shape ``(n_cells,)``; -1 where unknown.
    n_classes
        Number of classes C.
    n_per_class
        Components of each class.
    seed
        Seed of k-means.
    n_init
        Number of starts of k-means.

    Returns
    -------
    tuple of numpy.ndarray
        Means ``(K, L)``, variances ``(K, L)`` and weights ``(K,)`` with ``K = C * n_per_class``;
        float32.

    Raises
    ------
    ValueError
        If ``embedding`` is no matrix or has no cells, or ``labels`` has another length or a code
        that is no class.
    """
    z = np.asarray(embedding, np.float64)
    labels = np.asarray(labels)
    if z.ndim != 2 or not len(z):
        raise ValueError("`embedding` must have shape (n_cells, L) and at least one cell.")
    if labels.shape != (len(z),) or labels.max() >= n_classes:
        raise ValueError("`labels` must hold a code below `n_classes` for every cell.")
    rng = np.random.default_rng(seed)
    owner = np.full(len(z), -1)
    for c in range(n_classes):
        cells = np.flatnonzero(labels == c)
        if len(cells):
            owner[cells] = c * n_per_class + _k_means(z[cells], n_per_class, seed, n_init)
    total = z.var(axis=0)
    total = np.maximum(total, max(1e-3 * float(total.mean()), 1e-6))
    means, var, sizes = _summarise(
        z[owner >= 0], owner[owner >= 0], n_classes * n_per_class, total
    )
    for k in np.flatnonzero(sizes == 0):
        siblings = slice(k - k % n_per_class, k - k % n_per_class + n_per_class)
        largest = siblings.start + int(np.argmax(sizes[siblings]))
        has_cells = sizes[largest] > 0
        centre, spread = (means[largest], var[largest]) if has_cells else (z.mean(0), total)
        means[k] = centre + rng.standard_normal(z.shape[1]) * np.sqrt(spread)
        var[k] = spread
    # One pseudo-cell a component.
    weights = (sizes + 1) / (sizes + 1).sum()
    return means.astype(np.float32), var.astype(np.float32), weights.astype(np.float32)


def choose_n_components(embedding: npt.NDArray[np.floating], *, seed: int = 0) -> int:
    """Number of components that the data support, by the integrated completed likelihood.

    Mixtures with diagonal covariance, as the model's own prior, are fitted to at most 2,000 cells
    for 1 to 5, 7, 10, 14, 20, 28, 38 and 50 components, as far as there are ten cells for each,
    then for all numbers around the best of these; the one of lowest ICL is chosen, which is BIC
    plus twice the entropy of the cells' assignments: halves of one type gain little by it
    (Biernacki et al., 2000). All start from one tree of Ward's clusters, cut where it has so many
    (Fraley & Raftery, 2002). Types far from Gaussian may still take several components; types of
    a few cells take none, and types that lie in each other share one.

    Parameters
    ----------
    embedding
        Shape ``(n_cells, L)``.
    seed
        Seed of the choice of cells.

    Returns
    -------
    int
        Between 1 and 50.
    """
    z = np.asarray(embedding, np.float64)
    if len(z) > _CHOICE_CELLS:
        z = z[np.sort(np.random.default_rng(seed).choice(len(z), _CHOICE_CELLS, replace=False))]
    grid = [k for k in _GRID if 10 * k <= len(z)]
    if len(grid) < 2 or not z.var() > 0:
        return 1
    # Of the right number, k-means now and then halves one cluster and joins two others; then some
    # larger number looks better. A tree that splits them all does not depend on luck.
    tree = linkage(z, "ward")
    found = {k: _icl(z, tree, k) for k in grid}
    best = grid.index(min(found, key=found.__getitem__))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    found |= {k: _icl(z, tree, k) for k in range(low + 1, high) if k not in found}
    return min(found, key=found.__getitem__)


def _icl(z: npt.NDArray[np.float64], tree: npt.NDArray[np.float64], n_components: int) -> float:
    """Integrated completed likelihood, as BIC, of a mixture started from clusters of a tree."""
    floor = 1e-2 * float(z.var())
    owner = fcluster(tree, n_components, "maxclust").astype(np.intp) - 1
    # Cells that coincide are never told apart, so that there may be fewer.
    k = int(owner.max()) + 1
    means, var, sizes = _summarise(z, owner, k, z.var(axis=0))
    mixture = GaussianMixture(
        k,
        covariance_type="diag",
        reg_covar=floor,
        max_iter=50,
        weights_init=sizes / len(z),
        means_init=means,
        precisions_init=1 / (var + floor),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # 50 rounds rank the numbers well
        mixture.fit(z)
    return float(mixture.bic(z) + 2 * entr(mixture.predict_proba(z)).sum())


def _k_means(
    z: npt.NDArray[np.float64], n_clusters: int, seed: int, n_init: int
) -> npt.NDArray[np.intp]:
    """Cluster of each cell; some clusters stay empty where cells coincide."""
    if n_clusters == 1:
        return np.zeros(len(z), np.intp)
    kind = MiniBatchKMeans if len(z) > _MINIBATCH_CELLS else KMeans
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct cells than clusters
        k = min(n_clusters, len(z))
        return np.asarray(kind(k, n_init=n_init, random_state=seed).fit_predict(z), np.intp)


def _summarise(
    z: npt.NDArray[np.float64],
    owner: npt.NDArray[np.intp],
    n_components: int,
    total: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Means, shrunk variances and sizes of the components."""
    sizes = np.bincount(owner, minlength=n_components).astype(np.float64)
    means = np.zeros((n_components, z.shape[1]))
    np.add.at(means, owner, z)
    means /= np.maximum(sizes, 1)[:, None]
    squares = np.zeros_like(means)
    np.add.at(squares, owner, (z - means[owner]) ** 2)
    # With a cell or two a cluster nothing is known of the spread within: keep off zero.
    within = np.maximum(squares.sum(axis=0) / max(len(z), 1), 1e-2 * total)
    var = (squares + PSEUDO_CELLS * within) / (sizes + PSEUDO_CELLS)[:, None]
    return means, var, sizes
