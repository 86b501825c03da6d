"""Data sets of the comparison of initialisations."""

from __future__ import annotations

from dataclasses import dataclass

import anndata as ad
import mudata as md
import numpy as np
import scipy.sparse as sp

from benchmarks.shared.data import data_dir

FILES = {
    "bmmc_multiome": "bmmc_multiome.h5mu",
    "bmmc_cite": "bmmc_cite.h5mu",
    "pbmc10k_cite": "pbmc10k_cite.h5mu",
    "snareseq": "snareseq_mouse_cortex.h5mu",
    "sc_mixology": "sc_mixology_5batch_rna.h5ad",
    "mosaic": "pbmc_cite_mosaic.h5mu",
}


@dataclass
class Data:
    """Counts of a data set with types and batches of its cells."""

    counts: dict[str, sp.csr_matrix]
    names: dict[str, list[str]]
    types: np.ndarray
    batch: np.ndarray


def read(name: str) -> Data:
    """Read a data set; rows of cells without a modality are empty."""
    path = data_dir() / FILES[name]
    data = ad.read_h5ad(path) if path.suffix == ".h5ad" else md.read_h5mu(path)
    parts = {"rna": data} if isinstance(data, ad.AnnData) else data.mod
    types, batch = np.full(data.n_obs, "", object), np.full(data.n_obs, "", object)
    counts = {}
    for modality, part in parts.items():
        rows = data.obs_names.get_indexer(part.obs_names)
        x = sp.coo_matrix(part.X)
        counts[modality] = sp.csr_matrix(
            (x.data.astype(np.float32), (rows[x.row], x.col)), (data.n_obs, part.n_vars)
        )
        obs = part.obs if "celltype" in part.obs else data.obs
        types[rows] = obs["celltype" if "celltype" in obs else "cell_type"].astype(str)
        batch[rows] = obs["batch"].astype(str)
    names = {modality: list(part.var_names) for modality, part in parts.items()}
    return Data(counts, names, types.astype(str), np.unique(batch, return_inverse=True)[1])
