"""Mosaics: a published one, and paired data sets in which cells are divided."""

from __future__ import annotations

from dataclasses import dataclass

import mudata as md
import numpy as np
import pandas as pd

from benchmarks.shared.data import BATCH_KEY, LABEL_KEY, Dataset, load

PUBLISHED = "pbmc_cite_mosaic"
MOSAICS = ("bmmc_cite", "bmmc_multiome", "pbmc10k_cite", PUBLISHED)


@dataclass(frozen=True)
class Mosaic:
    """A data set with missing modalities.

    ``single`` has the positions of the cells with one modality only, by modality. ``divided`` are
    the divided cells with all counts, and ``None`` in a published mosaic. The halves of its cell
    ``i`` are at entry ``i`` of both arrays in ``single``.
    """

    data: Dataset
    single: dict[str, np.ndarray]
    divided: Dataset | None = None

    @property
    def paired(self) -> np.ndarray:
        """Positions of the cells with both modalities."""
        return np.setdiff1d(
            np.arange(self.data.data.n_obs), np.concatenate(list(self.single.values()))
        )


def load_mosaic(name: str, seed: int) -> Mosaic:
    """Read one of :data:`MOSAICS`.

    :data:`PUBLISHED` is used as it is; the others are divided by :func:`divided`.
    """
    data = load(name)
    return published(data) if name == PUBLISHED else divided(data, seed)


def published(data: Dataset) -> Mosaic:
    """Mosaic of different cells."""
    cells = data.data.obs_names
    first, second = data.modalities
    has = {name: cells.isin(part.obs_names) for name, part in data.modalities.items()}
    single = {
        first: np.flatnonzero(has[first] & ~has[second]),
        second: np.flatnonzero(has[second] & ~has[first]),
    }
    return Mosaic(data, single)


def divided(data: Dataset, seed: int) -> Mosaic:
    """Mosaic in which a random third of the cells has both modalities.

    Each other cell is divided into two cells with one modality each.
    """
    order = np.random.default_rng(seed).permutation(data.data.n_obs)
    n_both = len(order) // 3
    both, apart = np.sort(order[:n_both]), np.sort(order[n_both:])
    obs = data.data.obs[[BATCH_KEY, LABEL_KEY]]
    names = {name: [f"{cell}-{name}" for cell in obs.index[apart]] for name in data.modalities}
    parts = {}
    for name, part in data.modalities.items():
        parts[name] = part[obs.index[np.concatenate([both, apart])]].copy()
        parts[name].obs_names = [*obs.index[both], *names[name]]
    mosaic = md.MuData(parts)
    tables = [obs.iloc[both], *(obs.iloc[apart].set_axis(cells) for cells in names.values())]
    mosaic.obs = pd.concat(tables).loc[mosaic.obs_names]
    single = {name: mosaic.obs_names.get_indexer(cells) for name, cells in names.items()}
    return Mosaic(Dataset(data.name, mosaic), single, data.subset(apart))
