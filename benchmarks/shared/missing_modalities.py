"""Cells with missing modalities, for methods that need every modality of each cell."""

from __future__ import annotations

import anndata as ad
import mudata as md
import numpy as np
import scipy.sparse as sp

from benchmarks.shared.data import BATCH_KEY, LABEL_KEY, Dataset


def only(data: Dataset, modality: str) -> Dataset:
    """Copy of a data set with one modality."""
    part = md.MuData({modality: data.modalities[modality].copy()})
    part.obs = data.data.obs[[BATCH_KEY, LABEL_KEY]].copy()
    return Dataset(data.name, part)


def with_zeros(cells: md.MuData, like: md.MuData) -> md.MuData:
    """Cells with all modalities of ``like``; values of missing modalities are zero."""
    given = Dataset("", cells)
    parts = {}
    for name, reference in like.mod.items():
        if name in cells.mod:
            x = given.counts(name)
        else:
            x = sp.csr_matrix((cells.n_obs, reference.n_vars), dtype=np.float32)
        obs = cells.obs[[BATCH_KEY]].copy()
        parts[name] = ad.AnnData(x, obs=obs, var=reference.var[[]].copy())
    whole = md.MuData(parts)
    whole.obs = cells.obs.copy()
    return whole


def stacked(cells: dict[str, md.MuData], key: str = "modality") -> md.MuData:
    """Concatenate objects with the same features; ``obs[key]`` has the name of each."""
    parts = {
        m: ad.concat({k: c[m] for k, c in cells.items()}, label=key, index_unique="-")
        for m in next(iter(cells.values())).mod
    }
    whole = md.MuData(parts)
    whole.obs[key] = next(iter(parts.values())).obs[key].astype(str).to_numpy()
    whole.obs[BATCH_KEY] = np.concatenate([c.obs[BATCH_KEY].astype(str) for c in cells.values()])
    return whole
