"""The representation works in scanpy, on which the README's example relies."""

import anndata as ad
import numpy as np
import scanpy as sc


def test_neighbours_beyond_exact_search():
    """Scanpy approximates neighbours from 8,192 cells on, by another library."""
    n_cells = 8_200
    adata = ad.AnnData(np.zeros((n_cells, 1), np.float32))
    adata.obsm["X_multidgd"] = np.random.default_rng(0).normal(size=(n_cells, 5))
    sc.pp.neighbors(adata, use_rep="X_multidgd", n_neighbors=5)
    assert adata.obsp["connectivities"].nnz >= 4 * n_cells
