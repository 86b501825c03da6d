"""Simulated multiomes for timing, kept as files because reading is faster than simulating."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import mudata as md
import numpy as np
import scipy.sparse as sp

from benchmarks.shared.data import Dataset
from multiDGD.datasets import simulate_multiome, simulate_wide


def wide(folder: Path, *, tiny: bool = False) -> Path:
    """3,000 cells x (13,000 genes + 116,000 peaks), 3 % non-zero."""
    if tiny:
        size = {"n_cells": 600, "n_genes": 600, "n_peaks": 3000}
        return _cached(folder / "wide_tiny.npz", lambda: simulate_wide(**size))
    return _cached(folder / "wide.npz", simulate_wide)


def many(folder: Path, n_cells: int) -> Path:
    """``n_cells`` cells x (500 genes + 1,000 peaks), 10 % non-zero."""
    return _cached(
        folder / f"cells_{n_cells}.npz",
        lambda: simulate_multiome(n_cells, n_genes=500, n_peaks=1000, density=0.1),
    )


def _cached(path: Path, simulate) -> Path:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        data = simulate()
        parts = {"batch": data.obs["batch"].astype(str).to_numpy().astype("U")}
        for name, part in data.mod.items():
            x = sp.csr_matrix(part.X)
            parts |= {f"{name}.{k}": getattr(x, k) for k in ("data", "indices", "indptr", "shape")}
        np.savez(path, **parts)
    return path


def read(path: Path) -> Dataset:
    """Read a multiome from its file."""
    with np.load(path) as stored:
        mods = {}
        for name in ("rna", "atac"):
            values, indices, indptr, shape = (
                stored[f"{name}.{key}"] for key in ("data", "indices", "indptr", "shape")
            )
            x = sp.csr_matrix((values, indices, indptr), shape=tuple(shape))
            mods[name] = ad.AnnData(x)
            mods[name].var_names = [f"{name}_{j}" for j in range(x.shape[1])]
            mods[name].obs_names = [f"cell_{i}" for i in range(x.shape[0])]
        data = md.MuData(mods)
        data.obs["batch"] = stored["batch"]
    return Dataset(path.stem, data)
