"""Mosaics: data sets with missing modalities in some cells."""

from __future__ import annotations

import anndata as ad
import mudata as md
import numpy as np
import scipy.sparse as sp

from benchmarks.shared.data import BATCH_KEY, LABEL_KEY, Dataset, load

#: A published mosaic, and three paired data sets from which modalities are removed.
MOSAICS = ("pbmc_cite_mosaic", "bmmc_cite", "bmmc_multiome", "pbmc10k_cite")


def load_mosaic(name: str, seed: int) -> tuple[Dataset, np.ndarray]:
    """A mosaic, and a mask of the two modalities of each cell, shape ``(n_cells, 2)``.

    ``pbmc_cite_mosaic`` is used as published: one batch has RNA only, one protein only, two both. In
    the other data sets a third of the cells, by seed, keeps the first modality, a third the
    second, and a third both.
    """
    data = load(name).data
    if name != "pbmc_cite_mosaic":
        whole = data
        third = np.random.default_rng(seed).permutation(whole.n_obs) * 3 // whole.n_obs
        first, second = whole.mod
        data = md.MuData(
            {first: whole[first][third != 1].copy(), second: whole[second][third != 0].copy()}
        )
        data.obs = whole.obs.loc[data.obs_names, [BATCH_KEY, LABEL_KEY]].copy()
    has = np.stack([data.obs_names.isin(part.obs_names) for part in data.mod.values()], axis=1)
    return Dataset(name, data), has


def only(data: Dataset, modality: str) -> Dataset:
    """Copy of a data set with one modality."""
    part = md.MuData({modality: data.modalities[modality].copy()})
    part.obs = data.data.obs[[BATCH_KEY, LABEL_KEY]].copy()
    return Dataset(data.name, part)


def with_zeros(cells: md.MuData, like: md.MuData) -> md.MuData:
    """Cells with all modalities of ``like``; values of missing modalities are zero."""
    parts = {}
    for name, reference in like.mod.items():
        x = sp.lil_matrix((cells.n_obs, reference.n_vars), dtype=np.float32)
        if name in cells.mod:
            found = cells[name]
            x[cells.obs_names.get_indexer(found.obs_names)] = found.X.astype(np.float32)
        obs = cells.obs[[BATCH_KEY]].copy()
        parts[name] = ad.AnnData(sp.csr_matrix(x), obs=obs, var=reference.var[[]].copy())
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
