"""Coordinates of the cells on the page."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scanpy as sc
import torch
from anndata import AnnData
from mudata import MuData

# The spectral initialisation of a two-dimensional UMAP computes three eigenvectors.
_MIN_CELLS = 4


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
        key = basis if basis in data.obsm else f"X_{basis}"
        xy = np.asarray(data.obsm[key], dtype=np.float64)[cells, :2]
        return np.nan_to_num(xy), key.removeprefix("X_").replace("umap", "UMAP")
    if len(latent) < _MIN_CELLS:
        plane = np.zeros((len(latent), 2))
        plane[:, : min(2, latent.shape[1])] = latent[:, :2]
        return plane, "dimension"
    frame = AnnData(
        obs=pd.DataFrame(index=np.arange(len(latent)).astype(str)), obsm={"X_multidgd": latent}
    )
    n_threads = torch.get_num_threads()
    n_neighbors = min(15, len(latent) - 1)
    sc.pp.neighbors(frame, n_neighbors=n_neighbors, use_rep="X_multidgd", random_state=seed)
    sc.tl.umap(frame, random_state=seed)
    # numba shares the OpenMP library with torch and changes its number of threads.
    torch.set_num_threads(n_threads)
    return np.asarray(frame.obsm["X_umap"], dtype=np.float64), "UMAP"
