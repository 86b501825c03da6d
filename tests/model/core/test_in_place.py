"""Objects changed in place after the model has used them."""

import anndata as ad
import mudata as md
import numpy as np
import pytest
import scvi
from tests.toy import toy_adata, toy_mudata

from multiDGD import MultiDGD

TRAIN = {"max_epochs": 3, "batch_size": 16, "enable_progress_bar": False, "accelerator": "cpu"}


def fitted(data):
    scvi.settings.seed = 0
    setup = MultiDGD.setup_anndata if isinstance(data, ad.AnnData) else MultiDGD.setup_mudata
    setup(data, batch_key="batch")
    model = MultiDGD(data, n_latent=3)
    model.train(**TRAIN)
    return model


@pytest.fixture(scope="module")
def model():
    return fitted(toy_mudata(120, rate=4))


@pytest.fixture
def rna_model():
    return fitted(toy_adata(80, rate=4))


def keep(data, cells):
    """Select cells of an object in place, as the filters of scanpy and muon do."""
    if isinstance(data, ad.AnnData):
        data._inplace_subset_obs(cells)
        return
    for part in data.mod.values():
        part._inplace_subset_obs(cells)
    data.update()


def query_mudata():
    mdata = toy_mudata(60, rate=4)
    for part in mdata.mod.values():
        part.X = part.X[::-1].copy()
        part.obs_names = [f"new{i}" for i in range(60)]
    return md.MuData(dict(mdata.mod))


@pytest.mark.filterwarnings("ignore:From 0.4 .update")
@pytest.mark.parametrize("cells", [np.arange(20, 60), np.arange(60)[::-1]])
def test_query_cells_keep_their_representations(model, cells):
    query = query_mudata()
    query.obs["batch"] = np.repeat(["b0", "b1"], 30)
    names = query.obs_names
    before = model.get_latent_representation(query)
    shares = model.get_normalized_expression(query, modality="rna", return_numpy=True)
    keep(query, cells)
    assert len(query.obs_names) == len(cells)
    # mudata 0.4 keeps the former order
    at = names.get_indexer(query.obs_names)
    np.testing.assert_allclose(model.get_latent_representation(query), before[at], atol=1e-4)
    np.testing.assert_allclose(
        model.get_normalized_expression(query, modality="rna", return_numpy=True),
        shares[at],
        rtol=1e-3,
    )


@pytest.mark.filterwarnings("ignore:From 0.4 .update")
def test_reordered_cells_of_one_modality(model):
    query = query_mudata()
    query.obs["batch"] = "b0"
    before = dict(zip(query.obs_names, model.get_latent_representation(query), strict=True))
    query["rna"]._inplace_subset_obs(np.arange(60)[::-1])
    query.update()
    fresh = md.MuData({name: part.copy() for name, part in query.mod.items()})
    fresh.obs["batch"] = "b0"
    again = model.get_latent_representation(query)
    np.testing.assert_allclose(again, [before[name] for name in query.obs_names], atol=1e-4)
    manager = model.get_anndata_manager(query)
    truth = model._manager_of(fresh)
    at = fresh.obs_names.get_indexer(query.obs_names)
    np.testing.assert_array_equal(manager.libraries, truth.libraries[at])


def test_training_cells_keep_their_representations(rna_model):
    adata, model = rna_model.adata, rna_model
    before = model.get_latent_representation()
    cells = np.arange(80) % 3 > 0
    keep(adata, cells)
    np.testing.assert_array_equal(model.get_latent_representation(), before[cells])


def test_training_continues_with_the_remaining_cells(rna_model, tmp_path):
    adata, model = rna_model.adata, rna_model
    keep(adata, np.arange(80) % 3 > 0)
    model.train(**TRAIN)
    z = model.get_latent_representation()
    assert z.shape == (53, 3)
    model.save(tmp_path / "model")
    loaded = MultiDGD.load(tmp_path / "model", adata=adata)
    np.testing.assert_array_equal(loaded.get_latent_representation(), z)


def test_replaced_counts_and_names(rna_model):
    adata, model = rna_model.adata, rna_model
    other = toy_adata(80, rate=4, seed=5)
    truth = model.get_latent_representation(other)
    adata.X = other.X
    adata.obs_names = [f"other{i}" for i in range(80)]
    np.testing.assert_allclose(model.get_latent_representation(), truth, atol=1e-4)


def test_model_without_data_keeps_its_training_cells(rna_model, tmp_path):
    adata, model = rna_model.adata, rna_model
    model.save(tmp_path / "model")
    loaded = MultiDGD.load(tmp_path / "model", adata=False)
    loaded.get_latent_representation(toy_adata(30, rate=4, seed=3))
    np.testing.assert_array_equal(
        loaded.get_latent_representation(), model.get_latent_representation()
    )
    with pytest.raises(ValueError, match="loaded without data"):
        loaded.train(**TRAIN)
    with pytest.raises(ValueError, match="0 and 79, found 500"):
        loaded.get_latent_representation(indices=[500])
    loaded.get_latent_representation(toy_adata(20, rate=4, seed=4))
    loaded.save(tmp_path / "again")
    again = MultiDGD.load(tmp_path / "again", adata=adata)
    np.testing.assert_array_equal(
        again.get_latent_representation(), model.get_latent_representation()
    )


def test_removed_features_are_not_zeros_in_further_training(rna_model):
    adata, model = rna_model.adata, rna_model
    adata._inplace_subset_var(np.arange(9))
    model.train(**{**TRAIN, "max_epochs": 30})
    # Twelve features with equal rates; shares near 0 would be those of features without counts.
    assert (model.get_normalized_expression().mean().iloc[9:] > 0.05).all()
