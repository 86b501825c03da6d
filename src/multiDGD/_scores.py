"""Scores of a representation against known labels, batches and expected counts.

Pure functions of arrays. Every score excludes cells with a missing or unknown label.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import entr
from scipy.stats import hypergeom
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

UNKNOWN_LABELS: tuple[str, ...] = ("NA", "nan", "Mis", "unknown")
"""Labels that are treated as missing."""


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
        Number of voting neighbours; fewer if any fold has fewer training cells.
    n_splits
        Folds of the stratified cross-validation. Classes of a single cell are excluded, because
        no other cell can vote for them.
    unknown
        Labels that count as missing, besides NaN and None.
    seed
        Seed of the random assignment to folds.

    Returns
    -------
    float
        Fraction of labelled cells with a correctly predicted held-out label, between 0 and 1.

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
    scored = class_sizes[codes] > 1
    points, codes = points[scored], codes[scored]
    if len(np.unique(codes)) < 2:
        raise ValueError("`labels` must have at least two classes with two or more known cells.")

    # scikit-learn raises an error if every class is smaller than the number of folds.
    n_splits = min(n_splits, int(class_sizes.max()))
    folds = StratifiedKFold(n_splits, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")
        splits = list(folds.split(points, codes))
    classifier = KNeighborsClassifier(min(n_neighbors, *(len(train) for train, _ in splits)))
    predicted = cross_val_predict(classifier, points, codes, cv=splits)
    return float((predicted == codes).mean())


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
        Seed of k-means (10 initialisations).
    unknown
        Labels that count as missing, besides NaN and None.

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
            f"`n_clusters` must be between 1 and {len(points)}, the number of labelled cells; "
            f"found {n_clusters}."
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

    Mean over cells of the batch entropy of the nearest neighbours of the same type, divided by the
    expected entropy of as many random cells of that type. The composition of types in each batch
    therefore does not affect the score.

    Parameters
    ----------
    embedding
        Array of shape ``(n_cells, n_dims)``.
    batch
        One batch per cell.
    labels
        One type per cell; by default all cells have the same type.
    n_neighbors
        Neighbours per cell, at most half of the type's other cells: a neighbourhood of the whole
        type would always be mixed.
    unknown
        Labels that count as missing, besides NaN and None.

    Returns
    -------
    float
        0 if batches are separate within every type, 1 if they are mixed as by chance. NaN if no
        type has at least five cells from two or more batches.

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
        raise ValueError(f"`n_neighbors` must be at least 2; found {n_neighbors}.")
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
        # Without points, scikit-learn excludes each cell from its own neighbours.
        neighbors = own[search.kneighbors(return_distance=False)]
        fractions = np.stack([(neighbors == b).mean(axis=1) for b in range(own.max() + 1)], axis=1)
        chance = _chance_entropy(own, k)
        # A cell is uninformative if all its possible neighbours belong to one batch.
        informative = chance > 0
        entropy = entr(fractions[informative]).sum(axis=1)
        ratios.append(entropy / chance[informative])
    if not sum(map(len, ratios)):
        return float("nan")
    return min(1.0, float(np.concatenate(ratios).mean()))


def mean_correlation(estimate: ArrayLike, truth: ArrayLike) -> tuple[float, float]:
    """Agreement between estimated and true expected counts.

    Parameters
    ----------
    estimate, truth
        Positive arrays of shape ``(n_cells, n_features)``. Their units may differ, because every
        cell is first scaled to sum to one.

    Returns
    -------
    tuple of float
        Pearson correlation of the logarithms over all entries, dominated by the differences
        between features; and the median over features of the correlation across cells. The median
        covers the features with varying truth; NaN if there are none.

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
    # A constant estimate of a varying feature counts as uncorrelated: excluding such features would
    # inflate the median.
    varies = spread_b > 1e-9
    within = (a * b).sum(axis=0)[varies] / np.maximum(spread_a * spread_b, 1e-18)[varies]
    return overall, float(np.median(within)) if within.size else float("nan")


def has_labels(labels: Sequence[Any] | ArrayLike) -> bool:
    """Whether any cell has a known label.

    Parameters
    ----------
    labels
        One label per cell.

    Examples
    --------
    >>> has_labels(["NA", "B cell"]), has_labels(["NA", None])
    (True, False)
    """
    return bool(_is_known(np.asarray(labels, dtype=object), UNKNOWN_LABELS).any())


def _is_known(names: NDArray[np.object_], unknown: Collection[str]) -> NDArray[np.bool_]:
    return ~(np.asarray(pd.isna(names)) | np.isin(names.astype(str), list(unknown)))


def _labelled(
    embedding: ArrayLike, labels: Any, unknown: Collection[str]
) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.bool_]]:
    """Points and integer labels of the cells with a known label, and the mask of these cells."""
    points = np.asarray(embedding, dtype=np.float64)
    if points.ndim != 2:
        raise ValueError(
            f"`embedding` must be 2-d (cells, dimensions); found shape {points.shape}."
        )
    if not np.isfinite(points).all():
        raise ValueError("`embedding` has values that are not finite; remove those cells.")
    names = np.asarray(labels, dtype=object)
    if names.shape != (len(points),):
        raise ValueError(f"`labels` has shape {names.shape} for {len(points)} cells.")
    known = _is_known(names, unknown)
    if not known.any():
        raise ValueError("`labels` has no known label.")
    return points[known], pd.factorize(names[known])[0], known


def _chance_entropy(batches: NDArray[np.intp], k: int) -> NDArray[np.float64]:
    """Expected batch entropy of k other cells drawn at random, for each cell."""
    sizes = np.bincount(batches)
    counts = np.arange(k + 1)
    terms = entr(counts / k)
    by_batch = np.zeros(len(sizes))
    for own in range(len(sizes)):
        others = sizes - (np.arange(len(sizes)) == own)
        draws = hypergeom.pmf(counts[None, :], len(batches) - 1, others[:, None], k)
        by_batch[own] = (draws @ terms).sum()
    return by_batch[batches]
