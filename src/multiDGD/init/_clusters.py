"""Mixture components from clusters or classes of an embedding."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.mixture import GaussianMixture

Array = npt.NDArray[np.float32]
Start = tuple[Array, Array, Array]

_PSEUDO_CELLS = 10.0  # a cluster of this many cells trusts its own variance by half
_MINIBATCH_CELLS = 50_000


def _pooled_variance(embedding: Array) -> Array:
    var = embedding.var(axis=0) if len(embedding) > 1 else np.zeros(embedding.shape[1])
    floor = max(1e-3 * float(var.mean()), 1e-6)
    return np.maximum(var, floor).astype(np.float32)


def _k_means(embedding: Array, k: int, seed: int, n_init: int) -> npt.NDArray[np.intp]:
    kind = MiniBatchKMeans if len(embedding) > _MINIBATCH_CELLS else KMeans
    return kind(k, n_init=n_init, random_state=seed).fit_predict(embedding)


def _summarise(embedding: Array, assigned: npt.NDArray[np.intp], k: int) -> Start:
    sizes = np.bincount(assigned, minlength=k).astype(np.float64)
    means = np.zeros((k, embedding.shape[1]))
    np.add.at(means, assigned, embedding)
    means /= np.maximum(sizes, 1)[:, None]
    squares = np.zeros_like(means)
    np.add.at(squares, assigned, (embedding - means[assigned]) ** 2)
    within = squares.sum(0) / max(len(embedding) - 1, 1)
    within = np.maximum(within, 1e-2 * _pooled_variance(embedding))
    var = (squares + _PSEUDO_CELLS * within) / (sizes + _PSEUDO_CELLS)[:, None]
    weights = (sizes + 1) / (sizes + 1).sum()
    return means.astype(np.float32), var.astype(np.float32), weights.astype(np.float32)


def cluster_start(
    embedding: Array, n_clusters: int, *, seed: int = 0, n_init: int = 3
) -> Start:
    """K-means means (K, L), variances (K, L) and weights (K,)."""
    embedding = np.asarray(embedding, np.float32)
    distinct = len(np.unique(embedding, axis=0))
    k = min(n_clusters, distinct)
    assigned = _k_means(embedding, k, seed, n_init)
    means, var, weights = _summarise(embedding, assigned, k)
    if k < n_clusters:  # spare components: copies of the largest, a little apart
        rng = np.random.default_rng(seed)
        source = np.argsort(-weights)[np.arange(n_clusters - k) % k]
        jitter = rng.standard_normal((n_clusters - k, embedding.shape[1]))
        means = np.vstack([means, means[source] + jitter * np.sqrt(var[source])])
        var = np.vstack([var, var[source]])
        weights = np.concatenate([weights, np.full(n_clusters - k, weights.min())])
        weights /= weights.sum()
    return means.astype(np.float32), var.astype(np.float32), weights.astype(np.float32)


def class_start(
    embedding: Array,
    labels: npt.NDArray[np.integer],
    n_classes: int,
    n_per_class: int = 1,
    seed: int = 0,
) -> Start:
    """As :func:`cluster_start`, class c owning components ``c*n_per_class ...``."""
    embedding = np.asarray(embedding, np.float32)
    parts, sizes = [], []
    fallback = embedding.mean(0), _pooled_variance(embedding)
    for c in range(n_classes):
        cells = embedding[labels == c]
        sizes.append(len(cells))
        if len(cells):
            parts.append(cluster_start(cells, n_per_class, seed=seed))
        else:
            rng = np.random.default_rng((seed, c))
            jitter = rng.standard_normal((n_per_class, embedding.shape[1]))
            parts.append((
                fallback[0] + jitter * np.sqrt(fallback[1]),
                np.tile(fallback[1], (n_per_class, 1)),
                np.full(n_per_class, 1 / n_per_class),
            ))
    share = (np.asarray(sizes) + 1.0) / (np.sum(sizes) + n_classes)
    weights = np.concatenate([s * p[2] for s, p in zip(share, parts, strict=True)])
    means = np.vstack([p[0] for p in parts])
    var = np.vstack([p[1] for p in parts])
    return means.astype(np.float32), var.astype(np.float32), weights.astype(np.float32)


def choose_n_components(embedding: Array, *, seed: int = 0) -> int:
    """Number of components with the lowest BIC of a diagonal mixture, within [5, 50]."""
    embedding = np.asarray(embedding, np.float32)
    rng = np.random.default_rng(seed)
    n = min(len(embedding), 4000)
    cells = embedding[rng.choice(len(embedding), n, replace=False)]
    grid = [k for k in (5, 7, 10, 14, 20, 28, 38, 50) if k <= max(n // 10, 5)]
    if n <= grid[0]:
        return grid[0]
    scores = [
        GaussianMixture(k, covariance_type="diag", reg_covar=1e-3, max_iter=30, random_state=seed)
        .fit(cells).bic(cells)
        for k in grid
    ]
    return grid[int(np.argmin(scores))]
