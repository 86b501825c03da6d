"""The representation works in scanpy, on which the README's example relies."""

import anndata as ad
import numpy as np
import pytest
import scanpy as sc

from tests.toy import toy_adata, toy_mudata


def test_neighbours_beyond_exact_search():
    """Scanpy approximates neighbours from 8,192 cells on, by another library."""
    n_cells = 8_200
    adata = ad.AnnData(np.zeros((n_cells, 1), np.float32))
    adata.obsm["X_multidgd"] = np.random.default_rng(0).normal(size=(n_cells, 5))
    sc.pp.neighbors(adata, use_rep="X_multidgd", n_neighbors=5)
    assert adata.obsp["connectivities"].nnz >= 4 * n_cells


@pytest.mark.parametrize("make", [toy_adata, toy_mudata])
# scanpy 1.11 announces another backend, and 1.12 recommends it.
@pytest.mark.filterwarnings("ignore:The `igraph` implementation of leiden:FutureWarning")
@pytest.mark.filterwarnings("ignore:In the future, the default backend for leiden:FutureWarning")
def test_leiden_clusters(make):
    pytest.importorskip("igraph")
    pytest.importorskip("leidenalg")
    data = make()
    data.obsm["X_multidgd"] = np.random.default_rng(0).normal(size=(data.n_obs, 5))
    sc.pp.neighbors(data, use_rep="X_multidgd", n_neighbors=5)
    sc.tl.leiden(data)
    assert data.obs["leiden"].nunique() > 1
