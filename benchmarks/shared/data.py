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
    "pbmc_cite_mosaic": "pbmc_cite_mosaic.h5mu",
    "pbmc_facs_rna": "pbmc_facs_rna.h5ad",
    "asap_cite_pbmc_prot": "asap_cite_pbmc_prot.h5ad",
    "bmcite_12103_prot": "bmcite_12103_prot.h5ad",
}
#: Column of the labels of files in which it is not :data:`LABEL_KEY`.
_LABEL_KEYS = {"pbmc_cite_mosaic": "celltype"}


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

    @property
    def is_complete(self) -> bool:
        """Whether every cell was measured in every modality."""
        return all(part.n_obs == self.data.n_obs for part in self.modalities.values())

    def counts(self, modality: str) -> sp.csr_matrix:
        """Raw counts of one modality, cells x features, float32; empty rows if not measured."""
        part = self.modalities[modality]
        x = sp.csr_matrix(part.X).astype(np.float32)
        rows = part.obs_names.get_indexer(self.data.obs_names)
        if np.array_equal(rows, np.arange(part.n_obs)):
            return x
        measured = rows >= 0
        pick = np.ones(measured.sum(), np.float32), (np.flatnonzero(measured), rows[measured])
        return sp.csr_matrix(sp.csr_matrix(pick, shape=(len(rows), part.n_obs)) @ x)

    def without_labels(self) -> Dataset:
        """Copy of the data set in which the batch is the only annotation of the cells."""
        bare = self.data.copy()
        bare.obs = bare.obs[[BATCH_KEY]].copy()
        if isinstance(bare, md.MuData):
            for part in bare.mod.values():
                part.obs = part.obs[[]].copy()
        return replace(self, data=bare)

    def most_detected_genes(self, n: int) -> Dataset:
        """RNA alone: copy with the ``n`` genes detected in most cells; else the data set itself."""
        if isinstance(self.data, md.MuData) or self.data.n_vars <= n:
            return self
        n_cells = np.asarray((self.data.X > 0).sum(0)).ravel()
        kept = np.sort(np.argsort(-n_cells, kind="stable")[:n])
        return replace(self, data=self.data[:, kept].copy())

    def subset(self, indices: np.ndarray) -> Dataset:
        """Copy of the data set with a subset of its cells."""
        return replace(self, data=self.data[indices].copy())

    def split(
        self, seed: int, held_out: float = 0.1, max_held_out: int | None = None
    ) -> tuple[Dataset, Dataset]:
        """Split at random into training cells and held-out cells.

        Held-out cells above ``max_held_out`` are in neither part.
        """
        order = np.random.default_rng(seed).permutation(self.data.n_obs)
        n_held_out = round(held_out * self.data.n_obs)
        kept = order[:n_held_out][:max_held_out]
        return self.subset(np.sort(order[n_held_out:])), self.subset(np.sort(kept))


def load(name: str) -> Dataset:
    """Read one of :data:`DATASETS`."""
    path = data_dir() / DATASETS[name]
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: set MULTIDGD_TEST_DATA to the data folder")
    data = ad.read_h5ad(path) if path.suffix == ".h5ad" else md.read_h5mu(path)
    if name.endswith("_prot"):
        data, obs = md.MuData({"prot": data}), data.obs
        data.obs = obs
    if name in _LABEL_KEYS:
        label_key = _LABEL_KEYS[name]
        data.obs = data.obs[[BATCH_KEY, label_key]].rename(columns={label_key: LABEL_KEY})
    return Dataset(name, data)
