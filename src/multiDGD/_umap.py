"""UMAP of representations."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scanpy as sc
import torch
from anndata import AnnData

from ._log import logger

#: The spectral initialisation of a two-dimensional UMAP computes three eigenvectors.
MIN_CELLS = 4
_N_NEIGHBORS = 15


def umap(representation: np.ndarray, seed: int = 0) -> np.ndarray:
    """UMAP of representations, with the defaults of scanpy.

    Parameters
    ----------
    representation
        Shape ``(n_cells, n_latent)``, with at least four cells.
    seed
        Random seed.

    Returns
    -------
    Coordinates, shape ``(n_cells, 2)``.
    """
    n_cells = len(representation)
    frame = AnnData(
        obs=pd.DataFrame(index=pd.RangeIndex(n_cells).astype(str)), obsm={"X": representation}
    )
    logger.info("Computing the UMAP of %d cells", n_cells)
    n_neighbors = min(_N_NEIGHBORS, n_cells - 1)
    n_threads = torch.get_num_threads()
    try:
        sc.pp.neighbors(frame, n_neighbors=n_neighbors, use_rep="X", random_state=seed)
        sc.tl.umap(frame, random_state=seed)
    finally:
        # numba shares the OpenMP library with torch and changes its number of threads.
        torch.set_num_threads(n_threads)
    return np.asarray(frame.obsm["X_umap"])
