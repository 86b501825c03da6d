"""Cells and mixture components in the latent space of cells or of a covariate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from mudata import MuData

from multiDGD.latent import GaussianMixtureSupervised

from ._figure import finish, not_found, panel
from ._mixture import Moments, best_plane, draw_mixture
from ._scatter import Coloring, as_categories, default_colors, draw_cells, obs_column, palette

if TYPE_CHECKING:
    from multiDGD.model import MultiDGD

_COMPONENT = "component"
_DARK = "0.15"


def representation(
    model: MultiDGD,
    color: str | None = None,
    *,
    adata: AnnData | MuData | None = None,
    indices: Sequence[int] | None = None,
    components: bool = True,
    size: float | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Plot cells and mixture components in a plane of the latent space.

    The plane is spanned by the first two principal axes of the component means, weighted by the
    mixture weights. The axis labels give the share of the variance between components that each
    axis explains. Diamonds are component means, numbered if there is room. Ellipses are at 1 and
    2 standard deviations of the projected components.

    Parameters
    ----------
    model
        A trained model.
    color
        Column of ``adata.obs`` to colour cells by, or ``"component"`` for the most probable
        component of each cell. Category colours are ``adata.uns[f"{color}_colors"]`` if set, and
        scanpy's defaults otherwise. If a supervised mixture is coloured by its labels, each
        component has the colour of its label.
    adata
        Cells; those of the model by default.
    indices
        Positions (or a mask) of the cells to draw, all by default.
    components
        Whether to draw the mixture components.
    size
        Area of a cell's point in square points.
    ax
        Axes to draw on. A new figure by default.
    show
        Whether to call :func:`matplotlib.pyplot.show`. Off by default, because notebooks display
        new figures themselves.
    save
        File to save the figure to; its extension sets the format.

    Returns
    -------
    The axes drawn on.

    Raises
    ------
    ValueError
        If the column does not exist, or the latent space has one dimension.

    Examples
    --------
    >>> import multiDGD
    >>> mdata = multiDGD.datasets.simulate_multiome(n_cells=100, n_genes=20, n_peaks=40)
    >>> multiDGD.MultiDGD.setup_mudata(mdata, labels_key="cell_type")
    >>> model = multiDGD.MultiDGD(mdata, n_latent=4)
    >>> model.train(max_epochs=2, enable_progress_bar=False, accelerator="cpu")
    >>> ax = multiDGD.pl.representation(model, color="cell_type")
    >>> len(ax.patches)  # two ellipses for each of five components
    10
    """
    data = model.adata if adata is None else adata
    mixture = model.module.mixture
    moments = Moments.of(mixture)
    plane = best_plane(moments)
    by_component = color == _COMPONENT and (data is None or color not in data.obs)
    column = obs_column(data, color, "color") if color and not by_component else None
    xy = plane.project(model.get_latent_representation(adata, indices))
    coloring = Coloring()
    component_colors: list[Any] = [_DARK] * mixture.n_mix_comp
    if by_component:
        codes = model.get_cluster_assignments(adata, indices)
        assigned = pd.Categorical(codes, categories=range(mixture.n_mix_comp))
        coloring = Coloring.by(pd.Series(assigned), _COMPONENT)
        component_colors = default_colors(mixture.n_mix_comp)
    elif color is not None and column is not None:
        coloring = Coloring.by(column, color, data, indices)
        component_colors = _label_colors(model, color, coloring.colors) or component_colors
    ax = panel(ax, coloring.figure_size)
    draw_cells(ax, xy, coloring, size=size)
    ax.set_xlabel(plane.labels[0])
    ax.set_ylabel(plane.labels[1])
    if components:
        names = [str(k) for k in range(mixture.n_mix_comp)]
        draw_mixture(ax, plane, moments, component_colors, names)
    finish(ax, show, save)
    return ax


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

    Each category has one component of the covariate's mixture, drawn as in
    :func:`representation`. Two dimensions, the default of the model, are drawn without
    projection.

    Parameters
    ----------
    model
        A trained model.
    key
        Column registered as ``batch_key`` or in ``categorical_covariate_keys``; optional if there
        is only one.
    adata, indices, components, size, ax, show, save
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
    ax = panel(ax, coloring.figure_size)
    draw_cells(ax, xy, coloring, size=size)
    ax.set_xlabel(plane.labels[0])
    ax.set_ylabel(plane.labels[1])
    if components:
        # The legend of the cells already gives the names.
        names_ = None if coloring.present else categories
        draw_mixture(ax, plane, moments, [colors[c] for c in categories], names_)
    finish(ax, show, save)
    return ax


def _label_colors(model: MultiDGD, color: str, colors: dict[str, Any] | None) -> list[Any]:
    """Colour of each component by its label; empty unless ``color`` supervises the mixture."""
    mixture = model.module.mixture
    is_label = color == model.registry["setup_args"].get("labels_key")
    if not (colors and is_label and isinstance(mixture, GaussianMixtureSupervised)):
        return []
    labels = np.repeat(model.summary.labels, mixture.Ncompperclass)
    return [colors.get(str(label), _DARK) for label in labels]
