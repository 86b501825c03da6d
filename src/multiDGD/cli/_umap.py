"""UMAP of the representations."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scanpy as sc
import torch
from anndata import AnnData

if TYPE_CHECKING:
    from mudata import MuData

logger = logging.getLogger(__name__)

# The spectral initialisation of a two-dimensional UMAP computes three eigenvectors.
_MIN_CELLS = 4
_MAX_LEGEND_ENTRIES = 40
# Rows per column in the legends of scanpy.
_ENTRIES_PER_COLUMN = 14


def add_umap(data: AnnData | MuData, seed: int) -> None:
    """Compute the UMAP of ``obsm["X_multidgd"]`` and store it as ``obsm["X_umap"]``.

    With too few cells for a UMAP, only a warning is logged.

    Parameters
    ----------
    data
        Annotated data; changed in place.
    seed
        Random seed.
    """
    if data.n_obs < _MIN_CELLS:
        logger.warning("Skipped the UMAP: it requires %d cells, found %d", _MIN_CELLS, data.n_obs)
        return
    logger.info("Computing the UMAP")
    frame = AnnData(
        obs=pd.DataFrame(index=data.obs_names), obsm={"X_multidgd": data.obsm["X_multidgd"]}
    )
    n_neighbors = min(15, data.n_obs - 1)
    n_threads = torch.get_num_threads()
    sc.pp.neighbors(frame, n_neighbors=n_neighbors, use_rep="X_multidgd", random_state=seed)
    sc.tl.umap(frame, random_state=seed)
    # numba shares the OpenMP library with torch and changes its number of threads.
    torch.set_num_threads(n_threads)
    data.obsm["X_umap"] = frame.obsm["X_umap"]


def draw_umap(data: AnnData | MuData, path: Path, colors: Sequence[str]) -> None:
    """Draw one UMAP panel per column of obs, without a legend if it has too many entries.

    Parameters
    ----------
    data
        Data with obsm ``X_umap``.
    path
        File of the figure.
    colors
        Columns of obs.
    """
    colors = list(dict.fromkeys(colors))
    frame = AnnData(obs=data.obs[colors].copy(), obsm={"X_umap": data.obsm["X_umap"]})
    for color in colors:
        # scanpy would draw numeric groups with a continuous colour scale.
        if not isinstance(frame.obs[color].dtype, pd.CategoricalDtype):
            frame.obs[color] = frame.obs[color].astype(str).astype("category")
    legend_columns = [
        math.ceil(n / _ENTRIES_PER_COLUMN) if n <= _MAX_LEGEND_ENTRIES else 0
        for n in frame.obs.nunique()
    ]
    widths = [4.0 + 1.4 * n for n in legend_columns]
    # Otherwise matplotlib would parse names with `$` as formulas.
    with plt.rc_context({"text.parse_math": False}):
        figure, axes = plt.subplots(
            1,
            len(colors),
            figsize=(sum(widths), 4),
            width_ratios=widths,
            squeeze=False,
            layout="constrained",
        )
        for ax, color, n_columns in zip(axes[0], colors, legend_columns, strict=True):
            sc.pl.embedding(
                frame,
                "umap",
                color=color,
                size=np.clip(30_000 / len(frame), 2, 60),
                ax=ax,
                show=False,
                frameon=False,
                legend_loc="right margin" if n_columns else None,
                legend_fontsize="x-small",
            )
        figure.savefig(path, dpi=150)
