"""Cells on a UMAP of their representations or on a stored embedding, and colours of cells."""

import gc

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.text import Text
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from tests.toy import toy_mudata

from multiDGD import MultiDGD, pl
from multiDGD._umap import umap as compute_umap
from multiDGD.pl import _embedding


@pytest.fixture
def umap(mosaic, monkeypatch):
    """Stored embedding of all cells of the mosaic."""
    xy = np.random.default_rng(0).normal(size=(mosaic.adata.n_obs, 3))
    monkeypatch.setitem(mosaic.adata.obsm, "X_umap", xy)
    return xy[:, :2]


@pytest.fixture(scope="module")
def twins():
    """Model of two modalities that share a feature."""
    mdata = toy_mudata()
    names = mdata["rna"].var_names.tolist()
    mdata["atac"].var_names = [*names[:1], *mdata["atac"].var_names[1:]]
    mdata.update()
    MultiDGD.setup_mudata(mdata)
    model = MultiDGD(mdata, n_latent=3)
    model.train(max_epochs=1, enable_progress_bar=False, accelerator="cpu")
    model.adata.obsm["X_two"] = model.get_latent_representation()[:, :2]
    return model


def drawn(ax, n):
    """Positions of the collection with n points."""
    (found,) = (c for c in ax.collections if len(c.get_offsets()) == n)
    return np.asarray(found.get_offsets())


def test_types_are_neighbours_on_the_umap(multiome, messages, monkeypatch):
    # Another test may have computed the UMAP of the same cells.
    monkeypatch.setattr(_embedding, "_last", type(_embedding._last)())
    ax = pl.representation(multiome, "cell_type")
    again = pl.representation(multiome, components=False)
    assert messages == [("INFO", "Computing the UMAP of 500 cells")]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("UMAP 1", "UMAP 2")
    assert not len(ax.get_xticks()) and not len(ax.get_yticks())
    assert not ax.patches
    xy = drawn(again, 500)
    types = multiome.adata.obs["cell_type"].astype(str).to_numpy()
    frequent = pd.Series(types).groupby(types).transform("size").to_numpy() >= 20
    z = multiome.get_latent_representation()
    found, latent = (
        cross_val_score(KNeighborsClassifier(10), x[frequent], types[frequent], cv=5).mean()
        for x in (xy, z)
    )
    assert found > 0.9 * latent
    # A subset of the cells stays where it was.
    part = drawn(pl.representation(multiome, indices=range(50), components=False), 50)
    np.testing.assert_array_equal(part, xy[:50])


def test_umap_is_computed_again_for_other_cells(multiome, monkeypatch):
    calls = []
    monkeypatch.setattr(_embedding, "umap", lambda z: calls.append(len(z)) or z[:, :2])
    monkeypatch.setattr(_embedding, "_last", type(_embedding._last)())
    part = multiome.adata[:60].copy()
    for adata in (None, None, part, part, None):
        pl.representation(multiome, adata=adata, components=False)
    assert calls == [500, 60, 500]
    with pytest.raises(
        ValueError, match='`basis`: a UMAP needs at least 4 cells, found 3.*"plane'
    ):
        pl.representation(multiome, adata=multiome.adata[:3].copy())


def test_the_umap_does_not_keep_a_model_alive(monkeypatch):
    monkeypatch.setattr(_embedding, "umap", lambda z: z[:, :2])
    before = len(_embedding._last)
    mdata = toy_mudata()
    MultiDGD.setup_mudata(mdata)
    model = MultiDGD(mdata, n_latent=3)
    model.train(max_epochs=1, enable_progress_bar=False, accelerator="cpu")
    pl.representation(model)
    assert len(_embedding._last) == before + 1
    del model, mdata
    gc.collect()
    assert len(_embedding._last) == before


def test_centres_are_cells_and_a_dozen_are_labelled(mosaic, umap):
    component = mosaic.get_cluster_assignments()
    found, n_cells = np.unique(component, return_counts=True)
    assert len(found) > 14
    ax = pl.representation(mosaic, basis="umap")
    centres = drawn(ax, len(found))
    for k, centre in zip(found, centres, strict=True):
        own = umap[component == k]
        assert (own == centre).all(1).any()
        distance = np.linalg.norm(own - np.median(own, axis=0), axis=1)
        assert np.linalg.norm(centre - np.median(own, axis=0)) == pytest.approx(distance.min())
    largest = found[np.argsort(-n_cells, kind="stable")]
    shown = {int(t.get_text()) for t in ax.texts}
    assert shown <= set(largest[:12]) and len(shown) > 6
    boxes = [Text.get_window_extent(t) for t in ax.texts]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert len(pl.representation(mosaic, basis="umap", n_labels=3).texts) == 3
    assert not pl.representation(mosaic, basis="X_umap", n_labels=0).texts


def test_a_dozen_components_have_ellipses_in_the_plane(mosaic):
    ax = pl.representation(mosaic, basis="plane")
    weight = mosaic.module.mixture.mixture_probs().detach().numpy()
    largest = np.argsort(-weight, kind="stable")[:12]
    assert len(ax.patches) == 24
    assert {int(t.get_text()) for t in ax.texts} <= set(largest)
    assert len(drawn(ax, len(weight))) == len(weight)


def test_stored_embeddings(mosaic, umap, monkeypatch):
    monkeypatch.setitem(mosaic.adata.obsm, "X_phate", -umap)
    ax = pl.representation(mosaic, basis="phate", components=False, indices=range(100))
    np.testing.assert_allclose(drawn(ax, 100), -umap[:100])
    assert ax.get_xlabel() == "PHATE 1"
    with pytest.raises(ValueError, match=r"`basis`: 'X_umpa' .*'X_umap'"):
        pl.representation(mosaic, basis="X_umpa")


@pytest.mark.parametrize("indices", [None, range(0, 1600, 4)])
def test_uncertainty(mosaic, umap, indices):
    ax = pl.representation(mosaic, "uncertainty", basis="umap", components=False, indices=indices)
    _, variance = mosaic.get_latent_representation(indices=indices, return_dist=True)
    (cells,) = (c for c in ax.collections if len(c.get_offsets()))
    np.testing.assert_allclose(cells.get_array(), np.sort(np.sqrt(variance.mean(1))), rtol=1e-5)
    assert [a.get_ylabel() for a in ax.figure.axes[1:]] == ["posterior sd"]


@pytest.mark.parametrize("modality", ["rna", "adt"])
def test_genes_and_proteins(mosaic, umap, modality):
    name = mosaic.summary.features[modality][3]
    ax = pl.representation(mosaic, name, basis="umap", components=False)
    expected = mosaic.get_normalized_expression(
        modality=modality, gene_list=[name], library_size="median", return_numpy=True
    )
    (cells,) = (c for c in ax.collections if len(c.get_offsets()))
    # Cells without a modality are decoded as well.
    np.testing.assert_allclose(cells.get_array(), np.sort(np.log1p(expected[:, 0])), rtol=1e-5)
    title = f"{name} ({modality}), log1p of decoded counts"
    assert [a.get_ylabel() for a in ax.figure.axes[1:]] == [title]
    assert ax.get_legend() is None


def test_features_of_several_modalities(twins):
    name = twins.summary.features["rna"][0]
    with pytest.raises(ValueError, match=rf"`color`: '{name}' is a feature of \['rna', 'atac'\]"):
        pl.representation(twins, name, basis="two")
    ax = pl.representation(twins, name, basis="two", modality="atac")
    assert ax.figure.axes[1].get_ylabel() == f"{name} (atac), log1p of decoded counts"
    with pytest.raises(ValueError, match=r"`modality`: 'atacc' is not in the model. .*'atac'"):
        pl.representation(twins, name, basis="two", modality="atacc")
    with pytest.raises(ValueError, match=r"`color`: 'batch' is not in the features of 'rna'"):
        pl.representation(twins, "batch", basis="two", modality="rna")
    assert len(plt.get_fignums()) == 1


def test_columns_come_before_components_and_features(twins):
    name = twins.summary.features["rna"][1]
    twins.adata.obs[name] = "column"
    twins.adata.obs["component"] = "column"
    for color in (name, "component"):
        ax = pl.representation(twins, color, basis="two")
        assert [t.get_text() for t in ax.get_legend().get_texts()] == ["column"]
    ax = pl.representation(twins, name, basis="two", modality="rna")
    assert ax.get_legend() is None
    del twins.adata.obs[name], twins.adata.obs["component"]
    ax = pl.representation(twins, "component", basis="two")
    numbers = [int(t.get_text()) for t in ax.get_legend().get_texts()]
    assert numbers == np.unique(twins.get_cluster_assignments()).tolist()


def test_centres_are_black_diamonds(mosaic, umap):
    ax = pl.representation(mosaic, basis="umap", n_labels=2)
    found, n_cells = np.unique(mosaic.get_cluster_assignments(), return_counts=True)
    (centres,) = (c for c in ax.collections if len(c.get_offsets()) == len(found))
    assert to_hex(centres.get_facecolor()[0]) == "#000000"
    # Components without a number are smaller.
    sizes = centres.get_sizes()
    large = sizes == sizes.max()
    assert set(found[large].astype(str)) == {t.get_text() for t in ax.texts}
    assert large.sum() == 2 < len(found) and n_cells[large].min() >= n_cells[~large].max()


def test_an_error_of_the_umap_restores_the_threads(monkeypatch):
    def neighbors(*args, **kwargs):
        torch.set_num_threads(7)
        raise RuntimeError("no neighbours")

    n_threads = torch.get_num_threads()
    monkeypatch.setattr("scanpy.pp.neighbors", neighbors)
    with pytest.raises(RuntimeError, match="no neighbours"):
        compute_umap(np.zeros((5, 2)))
    assert torch.get_num_threads() == n_threads
