"""Posterior standard deviations over an embedding."""

import numpy as np
import pytest

from multiDGD import MultiDGD, pl


@pytest.fixture
def umap(mosaic, monkeypatch):
    xy = np.random.default_rng(0).normal(size=(mosaic.adata.n_obs, 3))
    monkeypatch.setitem(mosaic.adata.obsm, "X_umap", xy)
    return xy


def test_positions_and_colors_of_cells(mosaic, umap):
    ax = pl.uncertainty(mosaic)
    (cells,) = (c for c in ax.collections if len(c.get_offsets()))
    _, variance = mosaic.get_latent_representation(return_dist=True)
    sd = np.sqrt(variance.mean(axis=1))
    order = np.argsort(sd, kind="stable")
    np.testing.assert_allclose(cells.get_array(), sd[order], rtol=1e-5)
    np.testing.assert_allclose(cells.get_offsets(), umap[order, :2], rtol=1e-6)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("UMAP 1", "UMAP 2")
    assert [a.get_ylabel() for a in ax.figure.axes[1:]] == ["posterior sd"]
    low, high = cells.get_clim()
    assert sd.min() < low < np.median(sd) < high < sd.max()


def test_new_cells_and_short_names(mosaic, umap):
    part = mosaic.adata[::16].copy()
    part.obsm["X_pca"] = umap[::16]
    ax = pl.uncertainty(mosaic, part, "pca")
    assert ax.get_xlabel() == "PCA 1"
    assert sum(len(c.get_offsets()) for c in ax.collections) == 100


def test_shows_no_progress_bar(mosaic, umap, capsys):
    pl.uncertainty(mosaic)
    assert capsys.readouterr().err == ""


def test_without_a_stored_umap_it_is_that_of_the_representations(mosaic):
    assert "X_umap" not in mosaic.adata.obsm
    ax = pl.uncertainty(mosaic)
    (cells,) = (c for c in ax.collections if len(c.get_offsets()))
    expected = pl.representation(mosaic, "uncertainty", components=False)
    (same,) = (c for c in expected.collections if len(c.get_offsets()))
    np.testing.assert_array_equal(cells.get_offsets(), same.get_offsets())
    np.testing.assert_array_equal(cells.get_array(), same.get_array())


def test_errors(mosaic, umap, monkeypatch, tmp_path):
    with pytest.raises(ValueError, match=r"`basis`: 'X_umpa' .*'X_umap'"):
        pl.uncertainty(mosaic, basis="X_umpa")
    monkeypatch.setitem(mosaic.adata.obsm, "X_one", umap[:, :1])
    with pytest.raises(ValueError, match=r"`basis`: 'X_one' must have at least two columns"):
        pl.uncertainty(mosaic, basis="one")
    mosaic.save(tmp_path / "model")
    with pytest.raises(ValueError, match="`adata` is required"):
        pl.uncertainty(MultiDGD.load(tmp_path / "model", adata=False), basis="umap")
