"""Scores of the representation of a mosaic, and of imputed counts."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import pairwise_distances_chunked
from sklearn.neighbors import KNeighborsClassifier

from benchmarks.mosaics.mosaic import Mosaic
from benchmarks.mosaics.task import Fit
from benchmarks.shared.package_internals import batch_mixing
from benchmarks.shared.scores import prediction_scores
from benchmarks.shared.settings import N_NEIGHBORS


def embedding_scores(embedding: np.ndarray, mosaic: Mosaic) -> dict[str, float]:
    """Scores of an embedding; those of cells without coordinates are absent.

    Parameters
    ----------
    embedding
        Coordinates of each cell of the mosaic, shape ``(n_cells, n_latent)``.
    mosaic
        The mosaic with its labels.
    """
    first, second = mosaic.single.values()
    found = type_scores(embedding, mosaic)
    if mosaic.divided is not None and _is_embedded(embedding, first, second):
        found["foscttm"] = foscttm(embedding[first], embedding[second])
    return found


def foscttm(x: np.ndarray, y: np.ndarray) -> float:
    """Fraction of samples closer than the true match, a mean over both directions.

    Row ``i`` of both arrays is the same cell. 0 is the best value, 0.5 is expected by chance.
    """
    n = len(x)
    to_match = np.linalg.norm(x - y, axis=1)
    closer, start = 0, 0
    for distances in pairwise_distances_chunked(x, y):
        rows = slice(start, start + len(distances))
        start = rows.stop
        # Rounding must not make a match closer than itself.
        distances[np.arange(len(distances)), np.arange(rows.start, rows.stop)] = np.inf
        closer += int((distances < to_match[rows, None]).sum() + (distances < to_match).sum())
    return closer / (2 * n * (n - 1))


def type_scores(embedding: np.ndarray, mosaic: Mosaic) -> dict[str, float]:
    """Agreement of the types of cells and of their neighbours with other modalities.

    Only cells of known type are used. ``knn_NEW_among_OLD`` is the accuracy of the majority of the
    15 nearest neighbours.
    """
    labels, known = mosaic.data.labels, mosaic.data.known
    first, second = mosaic.single.values()
    groups = {"first": first, "second": second, "paired": mosaic.paired}
    groups = {name: cells[known[cells]] for name, cells in groups.items()}
    first, second = groups["first"], groups["second"]

    def accuracy(new: np.ndarray, old: np.ndarray, k: int) -> float:
        neighbours = KNeighborsClassifier(k).fit(embedding[old], labels[old])
        return float(np.mean(neighbours.predict(embedding[new]) == labels[new]))

    found = {}
    for new, old in (
        ("first", "second"),
        ("second", "first"),
        ("first", "paired"),
        ("second", "paired"),
    ):
        if _is_embedded(embedding, groups[new], groups[old]):
            found[f"knn_{new}_among_{old}"] = accuracy(groups[new], groups[old], N_NEIGHBORS)
    if _is_embedded(embedding, first, second):
        found["nearest_type"] = (accuracy(first, second, 1) + accuracy(second, first, 1)) / 2
        cells = np.concatenate([first, second])
        is_first = np.arange(len(cells)) < len(first)
        found["mixing"] = float(
            batch_mixing(embedding[cells], is_first, labels[cells], n_neighbors=N_NEIGHBORS)
        )
    return found


def imputation_scores(fit: Fit, mosaic: Mosaic) -> dict[str, float]:
    """Scores of the imputed counts of divided cells against their true counts."""
    if mosaic.divided is None:
        return {}
    predictions = {name: np.maximum(x, 0) for name, x in fit.imputed.items()}
    if "rna" in predictions:
        total = predictions["rna"].sum(1, keepdims=True)
        predictions["rna"] = predictions["rna"] / np.maximum(total, 1e-12)
    return prediction_scores(predictions, mosaic.divided)


def _is_embedded(embedding: np.ndarray, *cells: np.ndarray) -> bool:
    return all(len(some) > 0 and bool(np.isfinite(embedding[some]).all()) for some in cells)
