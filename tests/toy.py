"""Small objects with Poisson counts, for tests without real data."""

from pathlib import Path

import anndata as ad
import h5py
import mudata as md
import numpy as np
from scipy import sparse


def toy_adata(n_cells=40, n_features=12, *, seed=0, prefix="gene", dense=False, rate=1.5):
    """An AnnData with two batches, three labels, a site and an age."""
    rng = np.random.default_rng(seed)
    x = rng.poisson(rate, (n_cells, n_features)).astype(np.float32)
    x[:, 0] += 1  # every cell and modality has counts
    adata = ad.AnnData(x if dense else sparse.csr_matrix(x))
    adata.obs_names = [f"cell{i}" for i in range(n_cells)]
    adata.var_names = [f"{prefix}{j}" for j in range(n_features)]
    adata.obs["batch"] = np.where(np.arange(n_cells) % 2, "b1", "b0")
    adata.obs["label"] = np.array(["A", "B", "C"])[np.arange(n_cells) % 3]
    adata.obs["site"] = np.array(["x", "y", "z"])[np.arange(n_cells) // 3 % 3]
    adata.obs["age"] = rng.normal(50, 10, n_cells)
    return adata


def toy_mudata(n_cells=40, n_features=(12, 15), names=("rna", "atac"), **kwargs):
    """A MuData of paired modalities, with the columns of obs of :func:`toy_adata`."""
    parts = {
        name: toy_adata(n_cells, f, prefix=name, seed=i, **kwargs)
        for i, (name, f) in enumerate(zip(names, n_features, strict=True))
    }
    obs = next(iter(parts.values())).obs.copy()
    for part in parts.values():
        part.obs = part.obs[[]]
    mdata = md.MuData(parts)
    for column in obs:
        mdata.obs[column] = obs[column].to_numpy()
    return mdata


def remove_counts(adata, cells):
    """Set all counts of some cells to 0."""
    x = adata.X.toarray()
    x[cells] = 0
    adata.X = sparse.csr_matrix(x)


def write_10x(path: Path, adata: ad.AnnData, counts: sparse.csr_matrix, symbols=None) -> Path:
    """Write a file in the format of Cell Ranger 3 and later (features x cells, by column)."""
    with h5py.File(path, "w") as file:
        matrix = file.create_group("matrix")
        matrix["barcodes"] = adata.obs_names.to_numpy().astype("S")
        matrix["data"] = counts.data.astype(np.int32)
        matrix["indices"] = counts.indices
        matrix["indptr"] = counts.indptr
        matrix["shape"] = np.array(counts.shape[::-1])
        names = adata.var_names.to_numpy().astype("S")
        features = matrix.create_group("features")
        features["id"] = names
        # Two genes share a symbol, as in real annotations.
        shared = np.r_[names[:1], names[:1], names[2:]]
        features["name"] = shared if symbols is None else np.asarray(symbols).astype("S")
        features["feature_type"] = adata.var["feature_types"].to_numpy().astype("S")
        features["genome"] = np.full(len(names), b"GRCh38")
    return path
