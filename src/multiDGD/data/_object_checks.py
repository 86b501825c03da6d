"""Checks of AnnData and MuData objects as a whole."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from multiDGD._log import logger

from ._checks import listed


def check_object(data: AnnData | MuData) -> None:
    """Raise if counts and annotations of an object cannot be read.

    Raises
    ------
    ValueError
        If the object is lazy or a view of an object on disk, or if it is a MuData whose modalities
        do not share cells as their axis, or have changed since its last ``update()``.
    """
    if isinstance(data, MuData):
        _check_axis(data)
        parts = {"`mdata`": data, **{f"Modality {m!r}": part for m, part in data.mod.items()}}
    else:
        parts = {"`adata`": data}
    for what, part in parts.items():
        if not isinstance(part.obs, pd.DataFrame):
            raise ValueError(
                f"{what} is lazy (its `obs` is a {type(part.obs).__name__}). Load it first: "
                "`adata = adata.to_memory()`."
            )
        if part.is_view and part.isbacked:
            raise ValueError(
                f"{what} is a view of an object on disk. Load it first: `adata = adata.to_memory()`."
            )
    if isinstance(data, MuData):
        _check_updated(data)


def _check_axis(mdata: MuData) -> None:
    if mdata.axis != 0:
        raise ValueError(
            f"`mdata` has `axis={mdata.axis}`: its parts {list(mdata.mod)} are not modalities of "
            "the same cells. Concatenate samples with `anndata.concat`, or build "
            "`MuData({...}, axis=0)` with one AnnData for each modality."
        )


def _check_updated(mdata: MuData) -> None:
    """Raise if cells of a modality were removed, renamed or added without an update."""
    names = mdata.obs_names
    in_any = np.zeros(len(names), dtype=bool)
    for modality, part in mdata.mod.items():
        is_found = names.isin(part.obs_names)
        in_any |= is_found
        expected = np.asarray(mdata.obsm.get(modality, is_found)).ravel()
        n_unknown = int((~part.obs_names.isin(names)).sum())
        if n_unknown or not np.array_equal(is_found, expected):
            raise ValueError(
                f"Modality {modality!r} has {part.n_obs} cells, but `mdata` expects "
                f"{int(expected.sum())}, and {n_unknown} of its cells are not in `mdata`. Call "
                "`mdata.update()` after cells of a modality were removed, renamed or added."
            )
    if not in_any.all():
        raise ValueError(
            f"{int((~in_any).sum())} cells of `mdata` are in none of its modalities: "
            f"{listed(names[~in_any])}. Call `mdata.update()` after cells were removed."
        )


def warn_of_unpaired(mdata: MuData, modalities: Sequence[str]) -> None:
    """Log a warning for modalities that share no cell with any other modality.

    Parameters
    ----------
    mdata
        The object.
    modalities
        Names of the modalities of a model.
    """
    names = {
        m: mdata.mod[m].obs_names for m in modalities if m in mdata.mod and mdata.mod[m].n_obs
    }
    alone = [
        m
        for m, own in names.items()
        if len(names) > 1
        and not any(own.isin(other).any() for k, other in names.items() if k != m)
    ]
    if alone:
        examples = "; ".join(f"{m!r} with {listed(cells)}" for m, cells in names.items())
        logger.warning(
            "Modalities %s share no cell with any other modality, so each cell has only one. Cells: "
            "%s. If the same cells were measured, give them the same `obs_names` in all modalities.",
            alone,
            examples,
        )
