"""Two-dimensional embeddings of cells: stored in ``obsm``, or computed from representations."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes
from mudata import MuData

from multiDGD._umap import MIN_CELLS, umap

from ._figure import not_found

if TYPE_CHECKING:
    from multiDGD.model import MultiDGD

_CAPITALS = {"umap": "UMAP", "pca": "PCA", "tsne": "tSNE", "phate": "PHATE"}
# Representations of the last UMAP of each model, and the UMAP.
_last: WeakKeyDictionary[MultiDGD, tuple[np.ndarray, np.ndarray]] = WeakKeyDictionary()


def embedding(
    model: MultiDGD, adata: AnnData | MuData | None, basis: str | None
) -> tuple[np.ndarray, str]:
    """Positions of the cells in a stored embedding, or in a UMAP of their representations.

    Parameters
    ----------
    model, adata
        Model, and cells; those of the model by default.
    basis
        Key of a stored embedding, with or without the prefix ``X_``; `None` for the UMAP.

    Returns
    -------
    Array of shape ``(n_cells, 2)``, and the name of the embedding.
    """
    if basis is None:
        return umap_of_cells(model, adata), "umap"
    return stored_embedding(model.adata if adata is None else adata, basis)


def umap_of_cells(model: MultiDGD, adata: AnnData | MuData | None) -> np.ndarray:
    """UMAP of the representations of all cells of ``adata``; kept for the next plot.

    Raises
    ------
    ValueError
        If there are too few cells for a UMAP.
    """
    z = model.get_latent_representation(adata, silent=True)
    if len(z) < MIN_CELLS:
        raise ValueError(
            f'`basis`: a UMAP needs at least {MIN_CELLS} cells, found {len(z)}. Pass "plane".'
        )
    known = _last.get(model)
    if known is None or not np.array_equal(known[0], z):
        known = _last[model] = (z, umap(z))
    return known[1]


def stored_embedding(data: AnnData | MuData | None, basis: str) -> tuple[np.ndarray, str]:
    """First two columns of an embedding in ``obsm``, and its name.

    Parameters
    ----------
    data
        Cells.
    basis
        Key of the embedding, with or without the prefix ``X_``.

    Raises
    ------
    ValueError
        If ``data`` is `None`, or the embedding does not exist or has fewer than two columns.
    """
    if data is None:
        raise ValueError("`adata` is required: the model was loaded without data.")
    key = basis if basis in data.obsm else f"X_{basis}"
    if key not in data.obsm:
        raise not_found("basis", basis, data.obsm, "`adata.obsm`")
    xy = np.asarray(data.obsm[key])
    if xy.ndim != 2 or xy.shape[1] < 2:
        raise ValueError(
            f"`basis`: {key!r} must have at least two columns, found shape {xy.shape}."
        )
    return xy[:, :2], key.removeprefix("X_")


def displayed(name: str) -> str:
    """Name of an embedding in the usual capitals."""
    return _CAPITALS.get(name, name)


def name_axes(ax: Axes, name: str) -> None:
    """Name the axes of an embedding, and remove the ticks: its units have no meaning."""
    name = displayed(name)
    ax.set_xlabel(f"{name} 1", parse_math=False)
    ax.set_ylabel(f"{name} 2", parse_math=False)
    ax.set_xticks([])
    ax.set_yticks([])
