"""Initial mixture components from the clusters or classes of an embedding."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.special import entr
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from ._masked_sums import parts_of

Array = npt.NDArray[np.float32]
Codes = npt.NDArray[np.integer]
Parameters = tuple[Array, Array, Array]

PSEUDO_CELLS = 10.0
"""Component size at which its own variance and the pooled variance have equal weight."""
_MINIBATCH_CELLS = 50_000
_GRID = (1, 2, 3, 4, 5, 7, 10, 14, 20, 28, 38, 50)
_MAX_CHOICE_CELLS = 2_000


def cluster_initialisation(
    embedding: npt.NDArray[np.floating], n_clusters: int, *, seed: int = 0, n_init: int = 3
) -> Parameters:
    r"""Compute means, variances and weights from the k-means clusters of an embedding.

    The variance of cluster k with :math:`n_k` cells is shrunk towards the variance within all
    clusters, :math:`(\sum_{i \in k} (z_i - \mu_k)^2 + 10 \bar v) / (n_k + 10)`. The weight is
    :math:`(n_k + 1) / (n + K)`. If there are fewer distinct cells than clusters, the means of the
    empty components are drawn around the largest cluster, with its variance.

    Parameters
    ----------
    embedding
        Shape ``(n_cells, L)``, at least one cell.
    n_clusters
        Number of components K.
    seed
        Seed of k-means, which uses mini-batches for more than 50,000 cells.
    n_init
        Number of initialisations of k-means, the best of which is kept.

    Returns
    -------
    tuple of numpy.ndarray
        Means ``(K, L)``, positive variances ``(K, L)`` and weights ``(K,)`` that sum to 1;
        float32.

    Raises
    ------
    ValueError
        If ``embedding`` is not two-dimensional or has no cells.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.repeat([[0.0, 0.0], [8.0, 8.0]], 20, axis=0)
    >>> means, variances, weights = cluster_initialisation(x, 2)
    >>> np.sort(means[:, 0]).tolist(), weights.tolist()
    ([0.0, 8.0], [0.5, 0.5])
    """
    return class_initialisation(
        embedding, np.zeros(len(embedding), int), 1, n_clusters, seed, n_init
    )


def class_initialisation(
    embedding: npt.NDArray[np.floating],
    labels: Codes,
    n_classes: int,
    n_per_class: int = 1,
    seed: int = 0,
    n_init: int = 3,
) -> Parameters:
    """Compute means, variances and weights from the k-means clusters of each class.

    Parameters are computed as in :func:`cluster_initialisation`. Class c owns the components
    ``c * n_per_class`` to ``(c + 1) * n_per_class - 1``. For a class without labelled cells, means
    are drawn around the mean of all cells, with their variance, and weights are those of empty
    components.

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
        Number of initialisations of k-means.

    Returns
    -------
    tuple of numpy.ndarray
        Means ``(K, L)``, variances ``(K, L)`` and weights ``(K,)`` with ``K = C * n_per_class``;
        float32.

    Raises
    ------
    ValueError
        If ``embedding`` is not two-dimensional or has no cells, or ``labels`` differs in length
        or contains a code of at least ``n_classes``.
    """
    z = np.asarray(embedding, np.float64)
    labels = np.asarray(labels)
    if z.ndim != 2 or not len(z):
        raise ValueError(
            f"`embedding` must have shape (n_cells, L) with at least one cell, found {z.shape}."
        )
    if labels.shape != (len(z),) or labels.max() >= n_classes:
        raise ValueError(
            f"`labels` must contain a code below `n_classes` ({n_classes}) for each of the "
            f"{len(z)} cells, found shape {labels.shape} and largest code {labels.max(initial=-1)}."
        )
    rng = np.random.default_rng(seed)
    owner = np.full(len(z), -1)
    for c in range(n_classes):
        cells = np.flatnonzero(labels == c)
        if len(cells):
            own = z if len(cells) == len(z) else z[cells]
            owner[cells] = c * n_per_class + _k_means(own, n_per_class, seed, n_init)
    total = z.var(axis=0)
    total = np.maximum(total, max(1e-3 * float(total.mean()), 1e-6))
    known = owner >= 0
    labelled = (z, owner) if known.all() else (z[known], owner[known])
    means, var, sizes = _summarise(*labelled, n_classes * n_per_class, total)
    for k in np.flatnonzero(sizes == 0):
        siblings = slice(k - k % n_per_class, k - k % n_per_class + n_per_class)
        largest = siblings.start + int(np.argmax(sizes[siblings]))
        has_cells = sizes[largest] > 0
        centre, spread = (means[largest], var[largest]) if has_cells else (z.mean(0), total)
        means[k] = centre + rng.standard_normal(z.shape[1]) * np.sqrt(spread)
        var[k] = spread
    # One pseudo-cell per component.
    weights = (sizes + 1) / (sizes + 1).sum()
    return means.astype(np.float32), var.astype(np.float32), weights.astype(np.float32)


def choose_n_components(embedding: npt.NDArray[np.floating], *, seed: int = 0) -> int:
    """Choose the number of mixture components by the integrated completed likelihood (ICL).

    Mixtures with diagonal covariance, as in the model's prior, are fitted to at most 2,000 cells
    for 1 to 5, 7, 10, 14, 20, 28, 38 and 50 components, if there are at least ten cells per
    component. Then all numbers between the neighbours of the best one are fitted, and the number of
    lowest ICL is returned. The ICL is the BIC plus twice the entropy of the cells' assignments, so
    splitting a cell type is rarely preferred (Biernacki et al., 2000). All fits are initialised
    from one tree of Ward clusters (Fraley & Raftery, 2002), cut at the number of components.

    A cell type with a distribution far from Gaussian may still have several components. Types with
    few cells have none of their own, and overlapping types share one.

    Parameters
    ----------
    embedding
        Shape ``(n_cells, L)``.
    seed
        Seed of the subsample of cells.

    Returns
    -------
    int
        Between 1 and 50.
    """
    z = np.asarray(embedding, np.float64)
    if len(z) > _MAX_CHOICE_CELLS:
        z = z[
            np.sort(np.random.default_rng(seed).choice(len(z), _MAX_CHOICE_CELLS, replace=False))
        ]
    grid = [k for k in _GRID if 10 * k <= len(z)]
    if len(grid) < 2 or not z.var() > 0:
        return 1
    # With the right number, k-means sometimes splits one cluster and merges two others, so that a
    # larger number has a lower ICL. A Ward tree is deterministic and separates all clusters.
    tree = linkage(z, "ward")
    found = {k: _icl(z, tree, k) for k in grid}
    best = grid.index(min(found, key=found.__getitem__))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    found |= {k: _icl(z, tree, k) for k in range(low + 1, high) if k not in found}
    return min(found, key=found.__getitem__)


def _icl(z: npt.NDArray[np.float64], tree: npt.NDArray[np.float64], n_components: int) -> float:
    """Integrated completed likelihood, on the scale of BIC, of a mixture initialised from a tree."""
    floor = 1e-2 * float(z.var())
    owner = fcluster(tree, n_components, "maxclust").astype(np.intp) - 1
    # Identical cells are never split, so there can be fewer clusters than requested.
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
        warnings.simplefilter(
            "ignore", ConvergenceWarning
        )  # 50 iterations suffice to compare numbers
        mixture.fit(z)
    return float(mixture.bic(z) + 2 * entr(mixture.predict_proba(z)).sum())


def _k_means(
    z: npt.NDArray[np.float64], n_clusters: int, seed: int, n_init: int
) -> npt.NDArray[np.intp]:
    """Cluster of each cell. Clusters can be empty if cells are identical."""
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
    for part in parts_of(z):
        np.add.at(squares, owner[part], (z[part] - means[owner[part]]) ** 2)
    # The variance within clusters of one or two cells is close to zero, hence the lower bound.
    within = np.maximum(squares.sum(axis=0) / max(len(z), 1), 1e-2 * total)
    var = (squares + PSEUDO_CELLS * within) / (sizes + PSEUDO_CELLS)[:, None]
    return means, var, sizes
