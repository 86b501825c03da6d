"""Coordinates of the cells on the page."""

from __future__ import annotations

import numpy as np
from anndata import AnnData
from mudata import MuData

from multiDGD._umap import MIN_CELLS, umap
from multiDGD.pl._embedding import displayed, stored_embedding


def plane_of(
    data: AnnData | MuData, latent: np.ndarray, cells: np.ndarray, basis: str | None, seed: int
) -> tuple[np.ndarray, str]:
    """Coordinates of cells, shape ``(n, 2)``, and the name of their axes.

    Parameters
    ----------
    data
        The data.
    latent
        Representations of the cells, shape ``(n, n_latent)``.
    cells
        Positions of the cells.
    basis
        Key of an embedding in ``obsm``. Without it, a UMAP of the representations is computed.
    seed
        Seed of the UMAP.
    """
    if basis is not None:
        xy, name = stored_embedding(data, basis)
        return np.nan_to_num(xy[cells].astype(np.float64)), displayed(name)
    if len(latent) < MIN_CELLS:
        plane = np.zeros((len(latent), 2))
        plane[:, : min(2, latent.shape[1])] = latent[:, :2]
        return plane, "dimension"
    return umap(latent, seed).astype(np.float64), "UMAP"
