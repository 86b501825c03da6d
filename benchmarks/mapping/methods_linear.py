"""Linear methods for the mapping tasks: principal components and their nearest neighbours."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from sklearn.neighbors import NearestNeighbors

from benchmarks.mapping.tasks import Transfer
from benchmarks.shared.data import Dataset
from benchmarks.shared.linear_baselines import PCABaseline
from benchmarks.shared.settings import N_LATENT, N_NEIGHBORS


def _nearest(train: Dataset, query: Dataset, modality: str, seed: int) -> np.ndarray:
    """Training cells nearest to each query cell in one modality, shape ``(n, 15)``."""
    pca = PCABaseline(N_LATENT, seed)
    z = pca.fit({modality: train.counts(modality)})
    new, _ = pca.transform({modality: query.counts(modality)})
    return NearestNeighbors(n_neighbors=N_NEIGHBORS).fit(z).kneighbors(new, return_distance=False)


def _average(x: sp.csr_matrix, cells: np.ndarray) -> np.ndarray:
    return np.stack([np.asarray(x[some].mean(0)).ravel() for some in cells])


def protein(train: Dataset, query: Dataset, modality: str, seed: int) -> np.ndarray:
    """Average counts of the 15 cells nearest in RNA."""
    return _average(train.counts(modality), _nearest(train, query, "rna", seed))


def multiome(train: Dataset, query: dict[str, Dataset], seed: int) -> dict[str, np.ndarray]:
    """Average of the 15 cells nearest in the measured modality."""
    rna = _average(train.counts("rna"), _nearest(train, query["atac"], "atac", seed))
    return {
        "atac": _average(train.counts("atac") > 0, _nearest(train, query["rna"], "rna", seed)),
        "rna": rna / np.maximum(rna.sum(1, keepdims=True), 1e-12),
    }


def transfer(train: Dataset, query: Dataset, seed: int) -> Transfer:
    """Principal components of the reference without batch correction."""
    pca = PCABaseline(N_LATENT // len(train.modalities), seed)
    z = pca.fit({m: train.counts(m) for m in train.modalities})
    new, _ = pca.transform({m: query.counts(m) for m in train.modalities})
    return Transfer(z, new)


METHODS = {
    ("protein", "nearest"): protein,
    ("multiome", "nearest"): multiome,
    ("protocols", "pca"): transfer,
    ("donors", "pca"): transfer,
}
