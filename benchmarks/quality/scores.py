"""Scores of embeddings and neighbour graphs against cell types and batches."""

from __future__ import annotations

import os

# The device must not depend on whether JAX finds an accelerator.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import anndata as ad
import numpy as np
import scanpy as sc
import scib_metrics
from scib_metrics.nearest_neighbors import NeighborsResults
from sklearn.metrics import normalized_mutual_info_score

from benchmarks.quality.label_scores import kmeans_scores, knn_accuracy, nearest
from benchmarks.quality.task import Fit, Neighbours
from benchmarks.shared.settings import N_NEIGHBORS

#: Neighbours for LISI and kBET, with the cell itself, as in scib-metrics.
N_LISI, N_KBET = 90, 50
RESOLUTIONS = (0.2, 0.4, 0.6, 0.8, 1.0, 1.4, 2.0)
LEIDEN_SEEDS = range(3)


def embedding_scores(
    fit: Fit, scored: np.ndarray, labels: np.ndarray, batch: np.ndarray
) -> dict[str, float]:
    """Scores of a fit; those that need coordinates are absent if it is a graph.

    Parameters
    ----------
    fit
        A fit with an embedding, neighbours or neither.
    scored
        Mask of the training cells of known type.
    labels, batch
        Type and batch of the scored cells.
    """
    if fit.embedding is None and fit.neighbours is None:
        return {}
    scib_metrics.settings.verbosity = 30
    neighbours = fit.neighbours
    if neighbours is None:
        neighbours = nearest(np.asarray(fit.embedding)[scored], N_LISI)
    found = {
        "knn": knn_accuracy(neighbours, labels),
        **leiden_nmi(neighbours, labels),
        "clisi": scib_metrics.clisi_knn(with_self(neighbours, N_LISI), labels),
    }
    mixed = len(np.unique(batch)) > 1
    if mixed:
        found["ilisi"] = scib_metrics.ilisi_knn(with_self(neighbours, N_LISI), batch)
        found["kbet"] = scib_metrics.kbet_per_label(with_self(neighbours, N_KBET), batch, labels)
    if fit.embedding is not None:
        z = np.asarray(fit.embedding, dtype=np.float32)[scored]
        found |= kmeans_scores(z, labels)
        found["isolated_labels"] = scib_metrics.isolated_labels(z, labels, batch)
        if mixed:
            found["bras"] = scib_metrics.bras(z, labels, batch)
    return {name: float(value) for name, value in found.items() if np.isfinite(value)}


def with_self(neighbours: Neighbours, n: int) -> NeighborsResults:
    """The ``n`` nearest neighbours of each cell, the first of which is the cell itself."""
    cells = np.arange(len(neighbours.indices))[:, None]
    return NeighborsResults(
        indices=np.hstack([cells, neighbours.indices])[:, :n],
        distances=np.hstack([0.0 * cells, neighbours.distances])[:, :n].astype(np.float32),
    )


def leiden_nmi(neighbours: Neighbours, labels: np.ndarray) -> dict[str, float]:
    """Best normalised mutual information of Leiden clusters over the resolutions, and where."""
    cells = ad.AnnData(np.zeros((len(labels), 1), np.float32))
    graph = with_self(neighbours, N_NEIGHBORS).knn_graph_connectivities.tocsr()
    means = {}
    for resolution in RESOLUTIONS:
        found = []
        for seed in LEIDEN_SEEDS:
            sc.tl.leiden(
                cells,
                resolution,
                adjacency=graph,
                random_state=seed,
                flavor="igraph",
                n_iterations=2,
                directed=False,
            )
            found.append(normalized_mutual_info_score(labels, cells.obs["leiden"]))
        means[resolution] = float(np.mean(found))
    best = max(means, key=lambda resolution: means[resolution])
    return {"leiden_nmi": means[best], "leiden_resolution": best}
