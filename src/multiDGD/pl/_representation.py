"""Cells and mixture components of the latent space."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes
from mudata import MuData

from multiDGD._checks import integer
from multiDGD.latent import GaussianMixtureSupervised

from ._cell_colors import COMPONENT, color_cells
from ._embedding import embedding, name_axes
from ._figure import finish, panel
from ._mixture import Moments, best_plane, draw_centres, draw_mixture
from ._scatter import default_colors, draw_cells

if TYPE_CHECKING:
    from multiDGD.model import MultiDGD

_PLANE = "plane"
_DARK = "0.15"


def representation(
    model: MultiDGD,
    color: str | None = None,
    *,
    basis: str | None = None,
    modality: str | None = None,
    adata: AnnData | MuData | None = None,
    indices: Sequence[int] | None = None,
    components: bool = True,
    n_labels: int = 12,
    size: float | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Plot cells by their representations, with the mixture components.

    The default is a UMAP of the representations. It is computed by scanpy and kept for the next
    plot of the same cells; with many cells, compute it once with :func:`scanpy.tl.umap` and pass
    ``basis="umap"``. A diamond marks the centre of each component with cells: the cell nearest to
    the median of its cells.

    ``basis="plane"`` projects on the plane with the largest variance between the component means,
    weighted by the mixture weights. It needs no computation and preserves distances, but types
    may overlap. The axis labels give the shares of the variance between components. Diamonds are
    component means; ellipses are at 1 and 2 standard deviations of the projected components.

    Parameters
    ----------
    model
        A trained model.
    color
        Colour of the cells, the first that exists of these:

        - a column of ``adata.obs``. Colours of categories are ``adata.uns[f"{color}_colors"]`` if
          set, and scanpy's palettes otherwise;
        - ``"component"``, the most probable component;
        - ``"uncertainty"``, the posterior standard deviation as in :func:`uncertainty`;
        - a gene, protein or other feature: log1p of its decoded counts at the median library size
          of the modality.

        If a supervised mixture is coloured by its labels, each component has the colour of its
        label.
    basis
        `None` for a UMAP of the representations, ``"plane"`` for the plane, or the key of an
        embedding in ``adata.obsm``, with or without the prefix ``X_``.
    modality
        Modality of the feature ``color``; required if several have it, as genes and proteins of
        the same name.
    adata
        Cells; those of the model by default.
    indices
        Positions (or a mask) of the cells to draw, all by default. The UMAP is that of all cells.
    components
        Whether to draw the mixture components.
    n_labels
        Maximal number of numbered components, those with the most cells or, in the plane, with
        the largest weights. In the plane, only these have ellipses.
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
        If ``color``, ``modality`` or ``basis`` does not exist, several modalities have the
        feature, ``n_labels`` is negative, there are too few cells for a UMAP, or the latent space
        of a plane has one dimension.

    Examples
    --------
    >>> import multiDGD
    >>> adata = multiDGD.datasets.blood_cells()
    >>> multiDGD.MultiDGD.setup_anndata(adata, labels_key="cell_type")
    >>> model = multiDGD.MultiDGD(adata, n_latent=4)
    >>> model.train(max_epochs=2, enable_progress_bar=False, accelerator="cpu")
    >>> ax = multiDGD.pl.representation(model, "cell_type", basis="plane")
    >>> len(ax.patches)  # two ellipses for each of ten components
    20
    """
    integer("n_labels", n_labels)
    mixture = model.module.mixture
    moments = Moments.of(mixture)
    plane = best_plane(moments) if basis == _PLANE else None
    z = model.get_latent_representation(adata, indices, silent=True)
    coloring = color_cells(model, color, adata, indices, modality)
    if plane is not None:
        xy = plane.project(z)
    else:
        xy, name = embedding(model, adata, basis)
        xy = xy if indices is None else xy[np.asarray(indices)]
    component_colors: list[Any] = [_DARK] * mixture.n_mix_comp
    if coloring.title == COMPONENT and coloring.colors is not None:
        component_colors = default_colors(mixture.n_mix_comp)
    elif color is not None:
        component_colors = _label_colors(model, color, coloring.colors) or component_colors
    ax = panel(ax, coloring.figure_size)
    draw_cells(ax, xy, coloring, size=size)
    if plane is None:
        name_axes(ax, name)
        if components:
            draw_centres(ax, xy, model.get_cluster_assignments(adata, indices), n_labels)
    else:
        ax.set_xlabel(plane.labels[0])
        ax.set_ylabel(plane.labels[1])
        if components:
            names = [str(k) for k in range(mixture.n_mix_comp)]
            draw_mixture(ax, plane, moments, component_colors, names, n_labels)
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
