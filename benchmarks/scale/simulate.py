"""Simulated multiomes of any size, written to a zarr store block by block."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import zarr
from anndata.io import write_elem

from benchmarks.scale.draw import alias_tables, draw_counts

N_FEATURES = {"rna": 2_000, "atac": 5_000}
#: Mean number of molecules of a cell.
LIBRARY = {"rna": 1_000, "atac": 1_000}
N_TYPES, N_BATCHES = 30, 8
_BLOCK = 10_000
_CHUNK = 65_536


def write(path: Path, n_cells: int, seed: int = 0, sample: int = 0) -> None:
    """Write a MuData of RNA and ATAC, with the cells in the order of their batches.

    The molecules of a cell are drawn from a mixture of the profiles of two cell types of its batch,
    so that there are cells between all types.

    Parameters
    ----------
    path
        Folder of the store.
    n_cells
        Number of cells.
    seed
        Random seed of the profiles of the cell types.
    sample
        Number of the sample; samples have different cells of the same types.
    """
    rng, types = np.random.default_rng([seed, sample]), np.random.default_rng(seed)
    batch = np.arange(n_cells) * N_BATCHES // n_cells
    kind, other = rng.integers(0, N_TYPES, (2, n_cells))
    share = rng.beta(4, 1, n_cells)
    names = pd.Index(np.char.add("cell", np.arange(n_cells).astype(str)))
    obs = pd.DataFrame(
        {
            "batch": pd.Categorical(batch.astype(str)),
            "cell_type": pd.Categorical(kind.astype(str)),
        },
        index=names,
    )
    root = zarr.open_group(str(path), mode="w")
    root.attrs.update({"encoding-type": "MuData", "encoding-version": "0.1.0", "axis": 0})
    write_elem(root, "obs", obs)
    group = root.create_group("mod")
    group.attrs["mod-order"] = list(N_FEATURES)
    for name, n_features in N_FEATURES.items():
        part = group.create_group(name)
        part.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        write_elem(part, "obs", obs[[]])
        write_elem(part, "var", pd.DataFrame(index=_names(name, n_features)))
        tables = alias_tables(_profiles(n_features, types))
        matrix = _Writer(part, n_cells, n_features)
        for start in range(0, n_cells, _BLOCK):
            at = slice(start, start + _BLOCK)
            sizes = rng.poisson(LIBRARY[name] * rng.lognormal(-0.08, 0.4, len(batch[at]))) + 1
            rows = batch[at] * N_TYPES + kind[at], batch[at] * N_TYPES + other[at]
            matrix.append(draw_counts(tables, sizes, *rows, share[at], rng))
        matrix.close()


def _names(modality: str, n: int) -> pd.Index:
    if modality == "atac":
        return pd.Index([f"chr1-{1000 * i}-{1000 * i + 500}" for i in range(n)])
    return pd.Index([f"gene{i}" for i in range(n)])


def _profiles(n_features: int, rng: np.random.Generator) -> np.ndarray:
    """Profile of each type in each batch, shape ``(batches * types, features)``."""
    base = rng.normal(0, 1.5, n_features)
    types = rng.normal(0, 0.7, (N_TYPES, n_features))
    batches = rng.normal(0, 0.2, (N_BATCHES, n_features))
    profiles = np.exp(base + types + batches[:, None]).reshape(-1, n_features)
    return profiles / profiles.sum(axis=1, keepdims=True)


class _Writer:
    """CSR matrix in the format of AnnData, to which rows are appended."""

    def __init__(self, group: Any, n_cells: int, n_features: int) -> None:
        self._group = group.create_group("X")
        attributes: Mapping[str, Any] = {
            "encoding-type": "csr_matrix",
            "encoding-version": "0.1.0",
            "shape": [n_cells, n_features],
        }
        self._group.attrs.update(attributes)
        self._arrays = {
            name: self._group.create_array(name, shape=(0,), chunks=(_CHUNK,), dtype=dtype)
            for name, dtype in (("data", "uint16"), ("indices", "int32"))
        }
        self._ends = [np.zeros(1, np.int64)]

    def append(self, block: sp.csr_matrix) -> None:
        first = int(self._ends[-1][-1])
        for name, array in self._arrays.items():
            values = getattr(block, name)
            array.resize((first + len(values),))
            array[first:] = values
        self._ends.append(first + block.indptr[1:].astype(np.int64))

    def close(self) -> None:
        ends = np.concatenate(self._ends)
        self._group.create_array("indptr", data=ends, chunks=(_CHUNK,))
