"""Linear baselines: PCA of log-normalised RNA and CLR protein, LSI of ATAC, average profile."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from sklearn.decomposition import PCA, TruncatedSVD

_SCALE = 1e4


def _library_size(counts: sp.csr_matrix) -> np.ndarray:
    """Library size of each cell, at least 1, shape ``(n_cells, 1)``."""
    return np.maximum(np.asarray(counts.sum(1), dtype=np.float64).reshape(-1, 1), 1)


def _frequencies(counts: sp.csr_matrix) -> sp.csr_matrix:
    """Counts divided by the library size of their cell."""
    return sp.csr_matrix(counts.multiply(1 / _library_size(counts)))


class PCABaseline:
    """One linear reduction per modality; the embedding is their concatenation.

    The scores of each modality are divided by their overall standard deviation, so that all
    modalities have the same weight. ATAC is reduced by LSI: its first component follows
    sequencing depth and is used in predictions but not in the embedding.
    """

    def __init__(self, n_components: int = 10, seed: int = 0) -> None:
        self.n_components = n_components
        self.seed = seed
        self._reducers: dict[str, PCA | TruncatedSVD] = {}
        self._scales: dict[str, float] = {}
        self._idf: dict[str, np.ndarray] = {}

    def _prepare(self, name: str, counts: sp.csr_matrix) -> sp.csr_matrix | np.ndarray:
        if name == "prot":
            logged = np.log1p(counts.toarray())
            return logged - logged.mean(1, keepdims=True)
        scaled = _frequencies(counts) * _SCALE
        if name == "atac":
            scaled = sp.csr_matrix(scaled.multiply(self._idf[name]))
        return scaled.log1p()

    def _invert(self, name: str, values: np.ndarray, counts: sp.csr_matrix) -> np.ndarray:
        if name == "prot":
            level = np.log1p(counts.toarray()).mean(1, keepdims=True)
            return np.expm1(np.maximum(values + level, 0))
        profile = np.expm1(np.maximum(values, 0))
        if name == "atac":
            return profile / self._idf[name] / _SCALE * _library_size(counts)
        return profile / np.maximum(profile.sum(1, keepdims=True), 1e-12)

    def _block(self, name: str, reduced: np.ndarray) -> np.ndarray:
        return reduced[:, 1:] if name == "atac" else reduced

    def fit(self, counts: dict[str, sp.csr_matrix]) -> np.ndarray:
        """Fit to the training cells and return their embedding."""
        blocks = []
        for name, x in counts.items():
            if name == "atac":
                n_cells = np.asarray((x > 0).sum(0)).ravel()
                self._idf[name] = np.log1p(x.shape[0] / np.maximum(n_cells, 1))
                self._reducers[name] = TruncatedSVD(self.n_components + 1, random_state=self.seed)
            else:
                solver = "full" if name == "prot" else "arpack"
                n_components = min(self.n_components, x.shape[1] - 1)
                self._reducers[name] = PCA(n_components, svd_solver=solver, random_state=self.seed)
            block = self._block(name, self._reducers[name].fit_transform(self._prepare(name, x)))
            self._scales[name] = float(np.sqrt(block.var(0).sum()))
            blocks.append(block / self._scales[name])
        return np.hstack(blocks)

    def transform(
        self, counts: dict[str, sp.csr_matrix]
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Embedding of held-out cells, and their counts as reconstructed from it."""
        blocks, predictions = [], {}
        for name, x in counts.items():
            reducer = self._reducers[name]
            reduced = reducer.transform(self._prepare(name, x))
            blocks.append(self._block(name, reduced) / self._scales[name])
            predictions[name] = self._invert(name, reducer.inverse_transform(reduced), x)
        return np.hstack(blocks), predictions


def mean_profile(train: sp.csr_matrix, new: sp.csr_matrix, *, scaled: bool) -> np.ndarray:
    """Average training profile for each held-out cell, times its library size if ``scaled``."""
    profile = np.asarray(_frequencies(train).mean(0)).reshape(1, -1)
    size = _library_size(new) if scaled else np.ones((new.shape[0], 1))
    return profile * size
