"""Scores of a representation against what is known about the cells.

Pure functions of arrays. Cells whose label is missing or unknown are left out of every score.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import hypergeom
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

UNKNOWN_LABELS: tuple[str, ...] = ("NA", "nan", "Mis", "unknown")
"""Labels that say no more than a missing value does."""


def knn_accuracy(
    embedding: ArrayLike,
    labels: Sequence[Any] | ArrayLike,
    n_neighbors: int = 15,
    n_splits: int = 5,
    *,
    unknown: Collection[str] = UNKNOWN_LABELS,
    seed: int = 0,
) -> float:
    """Cross-validated accuracy of a k-nearest-neighbour classifier of the labels.

    Parameters
    ----------
    embedding
        Array of shape ``(n_cells, n_dims)``.
    labels
        One label per cell.
    n_neighbors
        Neighbours that vote; fewer where a fold has fewer training cells.
    n_splits
        Folds of the stratified cross-validation. Classes of one cell are left out, because no
        other cell can vote for them.
    unknown
        Labels that mean "not known"; NaN and None always do.
    seed
        Seed of the shuffling into folds.

    Returns
    -------
    float
        Fraction of labelled cells whose held-out label is predicted, between 0 and 1.

    Raises
    ------
    ValueError
        If the shapes disagree, or fewer than two classes have two labelled cells.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.r_[np.zeros((20, 2)), np.ones((20, 2))]
    >>> knn_accuracy(x, ["a"] * 20 + ["b"] * 20)
    1.0
    """
    points, codes, _ = _labelled(embedding, labels, unknown)
    class_sizes = np.bincount(codes)
    voted = class_sizes[codes] > 1
    points, codes = points[voted], codes[voted]
    if len(np.unique(codes)) < 2:
        raise ValueError("`labels` must have at least two classes with two or more known cells.")

    # scikit-learn refuses to split when every class is smaller than the number of folds.
    n_splits = min(n_splits, int(class_sizes.max()))
    folds = StratifiedKFold(n_splits, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")
        splits = list(folds.split(points, codes))
    n_correct = 0
    for train, test in splits:
        classifier = KNeighborsClassifier(min(n_neighbors, len(train)))
        classifier.fit(points[train], codes[train])
        n_correct += int((classifier.predict(points[test]) == codes[test]).sum())
    return n_correct / len(codes)


def kmeans_nmi_ari(
    embedding: ArrayLike,
    labels: Sequence[Any] | ArrayLike,
    n_clusters: int | None = None,
    seed: int = 0,
    *,
    unknown: Collection[str] = UNKNOWN_LABELS,
) -> tuple[float, float]:
    """Agreement of a k-means clustering with the labels.

    Parameters
    ----------
    embedding
        Array of shape ``(n_cells, n_dims)``.
    labels
        One label per cell.
    n_clusters
        Number of clusters; the number of known classes by default.
    seed
        Seed of k-means (10 starts).
    unknown
        Labels that mean "not known"; NaN and None always do.

    Returns
    -------
    tuple of float
        Normalised mutual information (0 to 1) and adjusted Rand index (about 0 by chance, 1 for
        identical partitions).

    Raises
    ------
    ValueError
        If the shapes disagree, no cell is labelled, or ``n_clusters`` is not between 1 and the
        number of labelled cells.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.r_[np.zeros((20, 2)), np.ones((20, 2))] + np.linspace(0, 0.1, 40)[:, None]
    >>> nmi, ari = kmeans_nmi_ari(x, ["a"] * 20 + ["b"] * 20)
    >>> round(nmi, 6), round(ari, 6)
    (1.0, 1.0)
    """
    points, codes, _ = _labelled(embedding, labels, unknown)
    if n_clusters is None:
        n_clusters = len(np.unique(codes))
    if not 1 <= n_clusters <= len(points):
        raise ValueError(
            f"`n_clusters` must be between 1 and the {len(points)} labelled cells; "
            f"got {n_clusters}."
        )
    clusters = KMeans(n_clusters, n_init=10, random_state=seed).fit_predict(points)
    nmi = float(normalized_mutual_info_score(codes, clusters))
    return nmi, float(adjusted_rand_score(codes, clusters))


def batch_mixing(
    embedding: ArrayLike,
    batch: Sequence[Any] | ArrayLike,
    labels: Sequence[Any] | ArrayLike | None = None,
    n_neighbors: int = 15,
    *,
    unknown: Collection[str] = UNKNOWN_LABELS,
) -> float:
    """Mixing of batches among the neighbours of each cell within its own type.

    The mean over cells of the batch entropy of their nearest neighbours of the same type, divided
    by that expected of as many random cells of the type: composition of types costs nothing.

    Parameters
    ----------
    embedding
        Array of shape ``(n_cells, n_dims)``.
    batch
        One batch per cell.
    labels
        One type per cell; all cells are one type by default.
    n_neighbors
        Neighbours per cell; at most half of the type's other cells, since all of them together
        would look mixed however they lie.
    unknown
        Labels that mean "not known"; NaN and None always do.

    Returns
    -------
    float
        0 where batches lie apart within every type, 1 where they are mixed as by chance. NaN where
        no type has five cells of two or more batches, so that there is nothing to mix.

    Raises
    ------
    ValueError
        If the shapes disagree or ``n_neighbors`` is below 2.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.r_[np.zeros((20, 1)), np.ones((20, 1))]
    >>> batch_mixing(x, ["a"] * 20 + ["b"] * 20)
    0.0
    """
    if n_neighbors < 2:
        raise ValueError(f"`n_neighbors` must be at least 2; got {n_neighbors}.")
    n_cells = len(np.asarray(embedding))
    types = np.zeros(n_cells, dtype=np.intp) if labels is None else labels
    points, codes, known = _labelled(embedding, types, unknown)
    names = np.asarray(batch, dtype=object)
    if names.shape != (n_cells,):
        raise ValueError(f"`batch` has shape {names.shape} for {n_cells} cells.")
    batches = pd.factorize(names[known])[0]

    ratios = []
    for code in np.unique(codes):
        members = codes == code
        own = np.unique(batches[members], return_inverse=True)[1]
        k = min(n_neighbors, (len(own) - 1) // 2)
        if k < 2 or own.max() == 0:
            continue
        search = NearestNeighbors(n_neighbors=k).fit(points[members])
        # Asked without points, scikit-learn leaves each cell out of its own neighbours.
        neighbors = own[search.kneighbors(return_distance=False)]
        fractions = np.stack([(neighbors == b).mean(axis=1) for b in range(own.max() + 1)], axis=1)
        chance = _chance_entropy(own, k)
        # A cell whose possible neighbours are all of one batch says nothing about mixing.
        told = chance > 0
        ratios.append(_entropy_terms(fractions[told]).sum(axis=1) / chance[told])
    if not sum(map(len, ratios)):
        return float("nan")
    return min(1.0, float(np.concatenate(ratios).mean()))


def mean_correlation(estimate: ArrayLike, truth: ArrayLike) -> tuple[float, float]:
    """Agreement of estimated with true expected counts.

    Parameters
    ----------
    estimate, truth
        Positive arrays of shape ``(n_cells, n_features)``, each in its own unit: every cell is
        scaled to sum to one first.

    Returns
    -------
    tuple of float
        Pearson correlation of the logarithms over all entries, which the differences between
        features dominate; and the median of the correlation across cells over the features whose
        truth varies (NaN where none does).

    Raises
    ------
    ValueError
        If the shapes disagree or an entry is not positive and finite.

    Examples
    --------
    >>> import numpy as np
    >>> truth = np.random.default_rng(0).gamma(2.0, size=(50, 4))
    >>> overall, within = mean_correlation(3 * truth, truth)
    >>> round(overall, 6), round(within, 6)
    (1.0, 1.0)
    """
    logs = []
    for name, values in (("estimate", estimate), ("truth", truth)):
        array = np.asarray(values, dtype=np.float64)
        if array.ndim != 2 or not (np.isfinite(array).all() and (array > 0).all()):
            raise ValueError(f"`{name}` must be a 2-d array of positive, finite numbers.")
        logs.append(np.log(array / array.sum(axis=1, keepdims=True)))
    if logs[0].shape != logs[1].shape:
        raise ValueError(f"`estimate` is {logs[0].shape} but `truth` is {logs[1].shape}.")
    overall = float(np.corrcoef(logs[0].ravel(), logs[1].ravel())[0, 1])
    a, b = (log - log.mean(axis=0) for log in logs)
    spread_a, spread_b = (np.sqrt((x**2).sum(axis=0)) for x in (a, b))
    # A feature that the estimate holds constant counts as uncorrelated: left out, it would flatter.
    varies = spread_b > 1e-9
    within = (a * b).sum(axis=0)[varies] / np.maximum(spread_a * spread_b, 1e-18)[varies]
    return overall, float(np.median(within)) if within.size else float("nan")


def _labelled(
    embedding: ArrayLike, labels: Any, unknown: Collection[str]
) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.bool_]]:
    """Points and integer labels of the cells whose label is known, and which those are."""
    points = np.asarray(embedding, dtype=np.float64)
    if points.ndim != 2:
        raise ValueError(f"`embedding` must be 2-d (cells, dimensions); got {points.shape}.")
    if not np.isfinite(points).all():
        raise ValueError("`embedding` has values that are not finite.")
    names = np.asarray(labels, dtype=object)
    if names.shape != (len(points),):
        raise ValueError(f"`labels` has shape {names.shape} for {len(points)} cells.")
    known = ~(np.asarray(pd.isna(names)) | np.isin(names.astype(str), list(unknown)))
    if not known.any():
        raise ValueError("`labels` has no known label.")
    return points[known], pd.factorize(names[known])[0], known


def _entropy_terms(fractions: NDArray[np.float64]) -> NDArray[np.float64]:
    """``-p log p``, zero at zero."""
    return -fractions * np.log(np.where(fractions > 0, fractions, 1.0))


def _chance_entropy(batches: NDArray[np.intp], k: int) -> NDArray[np.float64]:
    """Expected batch entropy of k other cells drawn at random, for each cell."""
    sizes = np.bincount(batches)
    counts = np.arange(k + 1)
    terms = _entropy_terms(counts / k)
    by_batch = np.zeros(len(sizes))
    for own in range(len(sizes)):
        others = sizes - (np.arange(len(sizes)) == own)
        draws = hypergeom.pmf(counts[None, :], len(batches) - 1, others[:, None], k)
        by_batch[own] = (draws @ terms).sum()
    return by_batch[batches]
