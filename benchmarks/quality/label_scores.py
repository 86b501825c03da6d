"""Agreement of neighbours and of k-means clusters with cell types."""

from __future__ import annotations

import numpy as np
from sklearn.neighbors import NearestNeighbors

from benchmarks.quality.task import Neighbours
from benchmarks.shared.package_internals import kmeans_nmi_ari
from benchmarks.shared.settings import N_NEIGHBORS

KMEANS_SEEDS = range(2)


def nearest(points: np.ndarray, k: int) -> Neighbours:
    """Exact Euclidean neighbours of each point without itself."""
    search = NearestNeighbors(n_neighbors=min(k, len(points) - 1)).fit(points)
    distances, indices = search.kneighbors()
    return Neighbours(indices, distances)


def knn_accuracy(neighbours: Neighbours, labels: np.ndarray) -> float:
    """Accuracy of the majority of the nearest neighbours; ties go to the first type by name."""
    types, codes = np.unique(labels, return_inverse=True)
    votes = codes[neighbours.indices[:, :N_NEIGHBORS]]
    counts = np.stack([(votes == code).sum(1) for code in range(len(types))], axis=1)
    return float(np.mean(counts.argmax(1) == codes))


def kmeans_scores(z: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Agreement of k-means clusters with the types, at the true number of types."""
    nmi, ari = np.mean([kmeans_nmi_ari(z, labels, seed=seed) for seed in KMEANS_SEEDS], axis=0)
    return {"kmeans_nmi": float(nmi), "kmeans_ari": float(ari)}
