"""Scores of one initialisation."""

from __future__ import annotations

import numpy as np
from sklearn.neighbors import KNeighborsClassifier

from benchmarks.initialisation.data import Data
from benchmarks.shared.data import UNKNOWN
from benchmarks.shared.package_internals import (
    batch_mixing,
    init_normalize,
    kmeans_nmi_ari,
    knn_accuracy,
)


def score(data: Data, z: np.ndarray) -> dict[str, float]:
    """Scores of an embedding; those of k-means are means of three seeds."""
    means = np.mean([kmeans_nmi_ari(z, data.types, seed=s) for s in range(3)], axis=0)
    out = {
        "knn": knn_accuracy(z, data.types),
        "nmi": float(means[0]),
        "ari": float(means[1]),
    }
    mixing = _mixing(data, z)
    if np.isfinite(mixing):
        out["mixing"] = float(mixing)
    has = np.stack([init_normalize.row_sums(x) > 0 for x in data.counts.values()], axis=1)
    if not has.all():
        known = ~np.isin(data.types, UNKNOWN)
        only = [known & has[:, m] & (has.sum(axis=1) == 1) for m in range(2)]
        for name, a, b in (("first to second", *only), ("second to first", *only[::-1])):
            knn = KNeighborsClassifier(15).fit(z[a], data.types[a])
            out[name] = float((knn.predict(z[b]) == data.types[b]).mean())
    return out


def _mixing(data: Data, z: np.ndarray) -> float:
    """Batch mixing, without cells that are the only one of their type in their batch.

    For these the score is undefined (0 / 0) if there is only one other batch.
    """
    pairs = np.char.add(np.char.add(data.types, "|"), data.batch.astype(str))
    _, pair, sizes = np.unique(pairs, return_inverse=True, return_counts=True)
    kept = sizes[pair] > 1
    return batch_mixing(z[kept], data.batch[kept], data.types[kept])
