"""Data sets of the benchmarks, and their split into training and held-out cells."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import anndata as ad
import mudata as md
import numpy as np
import scipy.sparse as sp

#: Labels that mean "unknown"; such cells are used for training but not scored by label.
UNKNOWN = ("NA", "nan", "Mis")
BATCH_KEY = "batch"
LABEL_KEY = "cell_type"

DATASETS = {
    "bmmc_multiome": "bmmc_multiome.h5mu",
    "bmmc_cite": "bmmc_cite.h5mu",
    "pbmc10k_cite": "pbmc10k_cite.h5mu",
    "snareseq_mouse_cortex": "snareseq_mouse_cortex.h5mu",
    "sc_mixology_5batch_rna": "sc_mixology_5batch_rna.h5ad",
}


def data_dir() -> Path:
    """Data folder: ``$MULTIDGD_TEST_DATA``, else ``shared/data`` beside the checkout."""
    default = Path(__file__).resolve().parents[3] / "shared" / "data"
    return Path(os.environ.get("MULTIDGD_TEST_DATA", default))


@dataclass(frozen=True)
class Dataset:
    """One data set: the object, and the properties used by all benchmarks."""

    name: str
    data: ad.AnnData | md.MuData

    @property
    def modalities(self) -> dict[str, ad.AnnData]:
        """AnnData by modality (``rna`` alone for a plain AnnData)."""
        return dict(self.data.mod) if isinstance(self.data, md.MuData) else {"rna": self.data}

    @property
    def labels(self) -> np.ndarray:
        """Cell types as strings."""
        return self.data.obs[LABEL_KEY].astype(str).to_numpy()

    @property
    def batch(self) -> np.ndarray:
        """Batches as strings."""
        return self.data.obs[BATCH_KEY].astype(str).to_numpy()

    @property
    def known(self) -> np.ndarray:
        """Mask of cells whose type is known."""
        return ~np.isin(self.labels, UNKNOWN)

    @property
    def n_types(self) -> int:
        """Number of known types."""
        return len(np.unique(self.labels[self.known]))

    @property
    def n_batches(self) -> int:
        """Number of batches."""
        return len(np.unique(self.batch))

    def counts(self, modality: str) -> sp.csr_matrix:
        """Raw counts of one modality, cells x features, float32."""
        return sp.csr_matrix(self.modalities[modality].X).astype(np.float32)

    def subset(self, indices: np.ndarray) -> Dataset:
        """Copy of the data set with a subset of its cells."""
        return replace(self, data=self.data[indices].copy())

    def split(self, seed: int, held_out: float = 0.1) -> tuple[Dataset, Dataset]:
        """Split at random into training cells and held-out cells."""
        order = np.random.default_rng(seed).permutation(self.data.n_obs)
        n_held_out = round(held_out * self.data.n_obs)
        return self.subset(np.sort(order[n_held_out:])), self.subset(np.sort(order[:n_held_out]))


def load(name: str) -> Dataset:
    """Read one of :data:`DATASETS`."""
    path = data_dir() / DATASETS[name]
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: set MULTIDGD_TEST_DATA to the data folder")
    data = ad.read_h5ad(path) if path.suffix == ".h5ad" else md.read_h5mu(path)
    return Dataset(name, data)
