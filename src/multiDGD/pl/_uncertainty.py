"""Posterior uncertainty of the representation of each cell."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from anndata import AnnData
from matplotlib.axes import Axes
from mudata import MuData

from ._cell_colors import UNCERTAINTY_TITLE, uncertainty_of_cells
from ._embedding import embedding, name_axes
from ._figure import finish, panel
from ._scatter import Coloring, draw_cells

if TYPE_CHECKING:
    from multiDGD.model import MultiDGD


def uncertainty(
    model: MultiDGD,
    adata: AnnData | MuData | None = None,
    basis: str | None = None,
    *,
    size: float | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Plot the posterior uncertainty of each cell's representation over an embedding.

    The colour is the root mean square over dimensions of the posterior standard deviations from
    :meth:`multiDGD.MultiDGD.get_latent_representation` with ``return_dist=True``. The most
    uncertain cells are drawn on top. The colour map ends at the 1st and 99th percentiles.

    Parameters
    ----------
    model
        A trained model.
    adata
        Cells; those of the model by default.
    basis
        Key of an embedding in ``adata.obsm``, with or without the prefix ``X_``. By default,
        ``"X_umap"`` if there is one, and otherwise a UMAP of the representations, which is computed
        as in :func:`representation`.
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
        If the embedding does not exist or has fewer than two columns, or if there are too few
        cells for a UMAP.

    Examples
    --------
    >>> import multiDGD
    >>> mdata = multiDGD.datasets.simulate_multiome(n_cells=100, n_genes=20, n_peaks=40)
    >>> multiDGD.MultiDGD.setup_mudata(mdata)
    >>> model = multiDGD.MultiDGD(mdata, n_latent=4)
    >>> model.train(max_epochs=2, enable_progress_bar=False, accelerator="cpu")
    >>> multiDGD.pl.uncertainty(model, basis="X_true").get_xlabel()
    'true 1'
    """
    data = model.adata if adata is None else adata
    if basis is None and data is not None and "X_umap" in data.obsm:
        basis = "X_umap"
    xy, name = embedding(model, adata, basis)
    ax = panel(ax, (5.4, 4.2))
    coloring = Coloring(UNCERTAINTY_TITLE, uncertainty_of_cells(model, adata))
    draw_cells(ax, xy, coloring, size=size)
    name_axes(ax, name)
    finish(ax, show, save)
    return ax
