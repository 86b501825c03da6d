"""Counts of the blood cells that scanpy contains."""

import socket

import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from scipy.sparse import csr_matrix

from multiDGD.datasets import blood_cells
from multiDGD.datasets._blood_cells import _counts

MARKERS = {
    "CD19+ B": ["CD79A", "MS4A1"],
    "CD56+ NK": ["GNLY", "NKG7"],
    "CD4+/CD25 T Reg": ["CD3D", "CD27"],
    "CD8+/CD45RA+ Naive Cytotoxic": ["CD8A", "CD8B"],
    "CD14+ Monocyte": ["LST1", "FCGR3A"],
    "Dendritic": ["FCER1A", "HLA-DRA"],
}


@pytest.fixture(scope="module")
def adata():
    return blood_cells()


def test_table(adata):
    assert adata.shape == (700, 765)
    assert adata.obs_names.is_unique
    assert adata.var_names.is_unique
    assert list(adata.obs) == ["cell_type", "phase"]
    assert adata.obs["cell_type"].cat.categories.size == 10
    assert set(adata.obs["phase"]) == {"G1", "S", "G2M"}
    assert not adata.uns
    assert not adata.obsm
    assert adata.raw is None


def test_counts(adata):
    counts = adata.X
    assert isinstance(counts, csr_matrix)
    assert counts.dtype == np.float32
    np.testing.assert_array_equal(counts.data, counts.data.astype(int))
    assert counts.data.min() == 1
    total = counts.sum(1)
    assert 300 < total.min() < total.max() < 2000


def test_counts_are_those_of_the_normalised_values(adata):
    source = sc.datasets.pbmc68k_reduced()
    # The source was scaled to 10,000 counts, with all genes of each cell.
    scale = 1e4 / source.obs["n_counts"].to_numpy()
    expected = np.expm1(source.raw.X.toarray().astype(float))
    np.testing.assert_allclose(adata.X.toarray() * scale[:, None], expected, rtol=2e-3)


@pytest.mark.parametrize("cell_type", MARKERS)
def test_markers(adata, cell_type):
    share = adata.to_df().div(adata.to_df().sum(axis=1), axis=0)
    mean = share.groupby(adata.obs["cell_type"], observed=True).mean()
    rest = share[adata.obs["cell_type"] != cell_type].mean()
    genes = MARKERS[cell_type]
    assert (mean.loc[cell_type, genes] > 2 * rest[genes]).all()


def test_needs_no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert blood_cells().n_obs == 700


def test_calls_are_independent(adata):
    other = blood_cells()
    other.X.data[:] = 0
    other.obs["phase"] = "S"
    pd.testing.assert_frame_equal(blood_cells().obs, adata.obs)
    assert (blood_cells().X != adata.X).nnz == 0


def test_explicit_zeros_are_no_counts():
    true = np.array([[0, 1, 3], [5, 0, 1]])
    scaled = csr_matrix(np.log1p(true * np.array([[2.5], [0.3]])))
    scaled.data[0] = 0.0
    np.testing.assert_array_equal(_counts(scaled).toarray(), [[0, 0, 1], [5, 0, 1]])
