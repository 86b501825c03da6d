"""Saving, loading and copying of models."""

import copy
import pickle

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
from scvi.train import SaveCheckpoint
from tests.model.fitting import TRAIN, fitted, renamed, renamed_mudata
from tests.toy import toy_adata, toy_mudata

from multiDGD import MultiDGD


@pytest.mark.parametrize("with_data", [True, False])
def test_save_and_load(tmp_path, with_data):
    mdata = toy_mudata()
    model = fitted(mdata, labels_key="label", batch_key="batch", continuous_covariate_keys=["age"])
    query = renamed_mudata(mdata, "new")
    model.save(tmp_path / "model")
    loaded = MultiDGD.load(tmp_path / "model", adata=mdata if with_data else False)
    np.testing.assert_array_equal(
        loaded.get_latent_representation(), model.get_latent_representation()
    )
    np.testing.assert_array_equal(
        loaded.get_covariate_representation("batch"), model.get_covariate_representation("batch")
    )
    np.testing.assert_array_equal(loaded.predict(None if with_data else mdata), model.predict())
    np.testing.assert_allclose(
        loaded.get_latent_representation(query), model.get_latent_representation(query), atol=1e-4
    )
    pd.testing.assert_frame_equal(
        loaded.get_normalized_expression(mdata, modality="atac"),
        model.get_normalized_expression(mdata, modality="atac"),
    )
    assert loaded.summary.n_features == {"rna": 12, "atac": 15}
    assert loaded.history is not None


def toy_mosaic():
    """Modalities with 10 cells of their own each."""
    whole = toy_mudata()
    parts = {"rna": whole["rna"][:30].copy(), "atac": whole["atac"][10:].copy()}
    mdata = md.MuData(parts)
    mdata.obs["batch"] = whole.obs["batch"].reindex(mdata.obs_names)
    mdata.obsm["X_given"] = np.arange(40)[:, None]
    return mdata


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))]
)
@pytest.mark.parametrize("make", [toy_adata, toy_mudata, toy_mosaic])
def test_deep_copies_and_pickles(copied, make):
    data = make()
    new = renamed(data) if isinstance(data, ad.AnnData) else renamed_mudata(data, "new")
    model = fitted(data, batch_key="batch")
    expected = model.get_latent_representation(), model.get_latent_representation(new)
    other = copied(model)
    for cells, z in zip((None, new), expected, strict=True):
        np.testing.assert_allclose(other.get_latent_representation(cells), z, atol=1e-5)
    name = model.module.modalities[0]
    pd.testing.assert_frame_equal(
        other.get_normalized_expression(modality=name),
        model.get_normalized_expression(modality=name),
    )
    assert other.adata is not model.adata
    assert list(other.adata.obs_names) == list(data.obs_names)
    MultiDGD(data)  # the setup of the original is still that of the original
    other.train(**TRAIN)
    assert (other.get_latent_representation() != expected[0]).any()
    np.testing.assert_array_equal(model.get_latent_representation(), expected[0])


def test_load_with_a_subset_of_the_cells(tmp_path):
    mdata = toy_mudata()
    model = fitted(mdata, batch_key="batch")
    model.save(tmp_path / "model", save_anndata=True)
    part = mdata[10:20].copy()
    loaded = MultiDGD.load(tmp_path / "model", adata=part)
    np.testing.assert_array_equal(
        loaded.get_latent_representation(), model.get_latent_representation()[10:20]
    )
    again = MultiDGD.load(tmp_path / "model")
    assert again.adata.n_obs == 40


def test_training_continues_with_reordered_and_fewer_cells(tmp_path):
    mdata = toy_mudata()
    model = fitted(mdata, batch_key="batch")
    model.save(tmp_path / "model")
    rates = dict.fromkeys(("lr", "lr_representation", "lr_mixture", "weight_precision"), 0.0)
    rates["remove_covariates_at"] = None
    order = np.random.default_rng(0).permutation(40)
    for cells in (order, order[:25]):
        loaded = MultiDGD.load(tmp_path / "model", adata=mdata[cells].copy())
        loaded.train(**{**TRAIN, "train_size": 1.0, "plan_kwargs": rates})
        np.testing.assert_array_equal(
            loaded.get_latent_representation(), model.get_latent_representation()[cells]
        )


def test_decoding_and_training_require_data(tmp_path):
    model = fitted(toy_mudata())
    model.save(tmp_path / "model")
    loaded = MultiDGD.load(tmp_path / "model", adata=False)
    with pytest.raises(ValueError, match="`adata` is required"):
        loaded.get_normalized_expression()
    with pytest.raises(ValueError, match="load it with `adata`"):
        loaded.train()
    loaded.save(tmp_path / "again")
    again = MultiDGD.load(tmp_path / "again", adata=False)
    np.testing.assert_array_equal(
        again.get_latent_representation(), model.get_latent_representation()
    )


@pytest.mark.parametrize("with_data", [True, False])
def test_untrained_model_is_saved_and_trained_after_loading(tmp_path, with_data):
    mdata = toy_mudata()
    MultiDGD.setup_mudata(mdata)
    MultiDGD(mdata, n_latent=3).save(tmp_path / "model")
    model = MultiDGD.load(tmp_path / "model", adata=mdata if with_data else False)
    assert not model.is_trained_
    with pytest.raises(RuntimeError, match="not trained"):
        model.get_latent_representation(mdata)
    if with_data:
        model.train(max_epochs=1, enable_progress_bar=False, accelerator="cpu")
        assert model.get_latent_representation().shape == (40, 3)


def test_checkpoint_is_loaded(tmp_path):
    mdata = toy_mudata()
    callback = SaveCheckpoint(dirpath=str(tmp_path), monitor="validation_loss")
    model = fitted(mdata, train={"callbacks": [callback], "check_val_every_n_epoch": 1})
    loaded = MultiDGD.load(callback.best_model_path, adata=mdata)
    assert loaded.get_latent_representation().shape == (40, 3)
    assert model.is_trained


def test_data_with_a_slash_in_a_modality_name_are_not_saved(tmp_path):
    mdata = toy_mudata(names=("rna/spliced", "atac"))
    model = fitted(mdata)
    with pytest.raises(ValueError, match="`save_anndata`: .*modality 'rna/spliced'"):
        model.save(tmp_path / "both", save_anndata=True)
    assert not (tmp_path / "both").exists()
    model.save(tmp_path / "model")
    again = MultiDGD.load(tmp_path / "model", adata=mdata)
    assert (again.get_latent_representation() == model.get_latent_representation()).all()
