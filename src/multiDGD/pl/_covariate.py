"""Cells and categories in the latent space of a covariate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from mudata import MuData

from ._figure import finish, not_found, panel
from ._mixture import Moments, best_plane, draw_mixture
from ._scatter import Coloring, as_categories, draw_cells, obs_column, palette

if TYPE_CHECKING:
    from multiDGD.model import MultiDGD

# In inches.
_LEAST_HEIGHT = 2.6
# Space that is drawn around the means, in units of the latent space.
_MARGIN = 1.0


def covariate_representation(
    model: MultiDGD,
    key: str | None = None,
    *,
    adata: AnnData | MuData | None = None,
    indices: Sequence[int] | None = None,
    components: bool = True,
    size: float | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Plot cells and categories in the latent space of a covariate.

    Each category has one component of the covariate's mixture: a diamond at its mean, and
    ellipses at 1 and 2 standard deviations. Two dimensions, the default of the model, are drawn
    without projection; others in the plane with the largest variance between the means.

    Parameters
    ----------
    model
        A trained model.
    key
        Column registered as ``batch_key`` or in ``categorical_covariate_keys``; optional if there
        is only one.
    adata
        Cells; those of the model by default.
    indices
        Positions (or a mask) of the cells to draw, all by default.
    components
        Whether to draw the components.
    size, ax, show, save
        As for :func:`representation`.

    Returns
    -------
    The axes drawn on.

    Raises
    ------
    ValueError
        If there is no such covariate, ``key`` is missing although there are several, or the
        latent space of the covariate has one dimension. Covariates with a single category are
        not modelled.

    Examples
    --------
    >>> import multiDGD
    >>> mdata = multiDGD.datasets.simulate_multiome(n_cells=100, n_genes=20, n_peaks=40)
    >>> multiDGD.MultiDGD.setup_mudata(mdata, batch_key="batch")
    >>> model = multiDGD.MultiDGD(mdata, n_latent=4)
    >>> model.train(max_epochs=2, enable_progress_bar=False, accelerator="cpu")
    >>> multiDGD.pl.covariate_representation(model, "batch").get_xlabel()
    'dimension 1'
    """
    names = model.module.covariates
    if not names:
        raise ValueError(
            "The model has no covariate to draw: register one with several categories as "
            "`batch_key` or in `categorical_covariate_keys`."
        )
    if key is None and len(names) == 1:
        key = names[0]
    if key is None:
        raise ValueError(f"`key` is required: choose one of the modelled covariates {names}.")
    if key not in names:
        raise not_found("key", key, names, "the modelled covariates")
    data = model.adata if adata is None else adata
    moments = Moments.of(model.module.mixtures_of_covariates[names.index(key)])
    plane = best_plane(moments)
    categories = [str(c) for c in model.summary.covariates[key]]
    coloring = Coloring()
    colors = palette(None, key, pd.Index(categories))
    if data is not None:
        column = as_categories(obs_column(data, key, "key"))
        if set(column.cat.categories) < set(categories):
            # Colours of a subset of the batches must match those of the full data.
            column = column.cat.set_categories(categories)
        coloring = Coloring.by(column, key, data, indices)
        colors |= coloring.colors or {}
    xy = plane.project(model.get_covariate_representation(key, adata, indices))
    width, height = coloring.figure_size
    least = max(_LEAST_HEIGHT, coloring.legend_height)
    ax = panel(ax, (width, _height(plane.project(moments.mean), least, height)))
    draw_cells(ax, xy, coloring, size=size)
    ax.set_xlabel(plane.labels[0])
    ax.set_ylabel(plane.labels[1])
    if components:
        # The legend of the cells already gives the names.
        names_ = None if coloring.present else categories
        draw_mixture(ax, plane, moments, [colors[c] for c in categories], names_)
    finish(ax, show, save)
    return ax


def _height(means: np.ndarray, least: float, most: float) -> float:
    """Height of a figure in inches: less if the means are beside each other."""
    wide, high = np.ptp(means, axis=0) + _MARGIN
    return float(np.clip(most * high / wide, least, most))
