"""Saving, loading and copying of models."""

import copy
import pickle

import anndata as ad
import h5py
import mudata as md
import numpy as np
import pandas as pd
import pytest
import torch
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


@pytest.mark.parametrize("make", [toy_adata, toy_mudata])
def test_saving_does_not_change_the_data(make, tmp_path):
    model = fitted(make(), batch_key="batch")
    data = model.adata
    part = data["rna"] if isinstance(data, md.MuData) else data
    part.var["kind"] = "gene"
    part.raw = part
    before = [data.obs.copy(), part.var.copy(), part.raw.var.copy()]
    model.save(tmp_path / "model", save_anndata=True)
    for table, expected in zip((data.obs, part.var, part.raw.var), before, strict=True):
        pd.testing.assert_frame_equal(table, expected)


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


def test_best_checkpoint_is_loaded_on_end(tmp_path):
    options = {"monitor": "train_loss", "mode": "max", "load_best_on_end": True}
    callback = SaveCheckpoint(dirpath=str(tmp_path), **options)
    train = {"callbacks": [callback], "check_val_every_n_epoch": 1, "max_epochs": 4}
    model = fitted(toy_mudata(), train=train)
    best = MultiDGD.load(callback.best_model_path, adata=False)
    weight = "decoder.trunk.0.weight"
    assert torch.equal(best.module.state_dict()[weight], model.module.state_dict()[weight])


class TestAttributesOfTheUser:
    def test_values_keep_their_types(self, tmp_path):
        model = fitted(toy_adata())
        model.notes_ = {"when": (1, 2.5), 3: np.arange(2), "table": model.history_["train_loss"]}
        model.draft = object()  # no trailing underscore
        model.save(tmp_path / "model")
        found = MultiDGD.load(tmp_path / "model", adata=False).notes_
        assert found["when"] == (1, 2.5)
        assert found[3].dtype == model.notes_[3].dtype
        pd.testing.assert_frame_equal(found["table"], model.notes_["table"])

    def test_other_objects_are_refused_before_anything_is_written(self, tmp_path):
        model = fitted(toy_adata())
        model.save(tmp_path / "model")
        before = {p: p.read_bytes() for p in (tmp_path / "model").iterdir()}
        model.notes_ = {"fit": [object()]}
        message = r"`notes_\['fit'\]\[0\]` cannot be saved: it is an object of the type builtins"
        for folder, overwrite in (("model", True), ("new", False)):
            with pytest.raises(ValueError, match=message):
                model.save(tmp_path / folder, overwrite=overwrite)
        assert {p: p.read_bytes() for p in (tmp_path / "model").iterdir()} == before
        assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("make", [toy_adata, toy_mudata])
def test_attributes_are_those_of_scvi_tools(make):
    model = fitted(make(), batch_key="batch")
    theirs = {n for n, _ in model._get_user_attributes() if n[-1] == "_"}
    assert set(model._attributes_to_save()) == theirs


class TestArguments:
    def test_unknown_arguments_are_refused(self, tmp_path):
        model = fitted(toy_adata())
        with pytest.raises(TypeError, match="unexpected keyword argument 'save_adata'"):
            model.save(tmp_path / "model", save_adata=True)
        with pytest.raises(TypeError, match="unexpected keyword argument"):
            model.save(tmp_path / "model", save_anndata=True, none=1)
        with pytest.raises(ValueError, match="`datamodule` must be None"):
            model.save(tmp_path / "model", datamodule=object())
        assert list(tmp_path.iterdir()) == []
        model.save(tmp_path / "model", save_kwargs={"pickle_protocol": 2}, legacy_pt=True)
        with pytest.raises(ValueError, match="`datamodule` must be None"):
            MultiDGD.load(tmp_path / "model", datamodule=object())

    def test_options_of_the_writer(self, tmp_path):
        adata = toy_adata(dense=True)
        fitted(adata).save(tmp_path / "model", save_anndata=True, compression="gzip")
        with h5py.File(tmp_path / "model" / "adata.h5ad") as file:
            assert file["X"].compression == "gzip"

    def test_model_without_data_has_none_to_save(self, tmp_path):
        fitted(toy_adata()).save(tmp_path / "model")
        loaded = MultiDGD.load(tmp_path / "model", adata=False)
        with pytest.raises(ValueError, match="`save_anndata`: the model was loaded without data"):
            loaded.save(tmp_path / "again", save_anndata=True)

    def test_registry_without_the_model(self, tmp_path, capsys):
        model = fitted(toy_adata(), batch_key="batch")
        model.save(tmp_path / "model", prefix="a_")
        registry = MultiDGD.load_registry(tmp_path / "model", prefix="a_")
        assert registry["setup_args"] == model.registry_["setup_args"]
        MultiDGD.view_setup_args(tmp_path / "model", prefix="a_")
        assert "'batch_key': 'batch'" in capsys.readouterr().out

    def test_other_features_warn(self, tmp_path):
        adata = toy_adata()
        model = fitted(adata)
        model.save(tmp_path / "model")
        with pytest.warns(UserWarning, match="`var_names` of `adata` are not those"):
            loaded = MultiDGD.load(tmp_path / "model", adata=adata[:, ::-1].copy())
        assert (loaded.get_latent_representation() == model.get_latent_representation()).all()


def test_backing_file_of_the_data_stays(tmp_path):
    toy_adata().write_h5ad(tmp_path / "cells.h5ad")
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    model = fitted(backed)
    z = model.get_latent_representation()
    for _ in range(2):
        model.save(tmp_path / "model", save_anndata=True, overwrite=True)
        assert backed.filename == tmp_path / "cells.h5ad"
        assert backed.X[:3].sum() > 0
    assert (MultiDGD.load(tmp_path / "model").get_latent_representation() == z).all()


def test_loading_does_not_need_to_write(tmp_path):
    model = fitted(toy_adata())
    model.save(tmp_path / "model")
    before = {
        p: p.stat().st_mtime_ns for p in [tmp_path / "model", *(tmp_path / "model").iterdir()]
    }
    MultiDGD.load(tmp_path / "model", adata=False)
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_data_with_a_slash_in_a_modality_name_are_not_saved(tmp_path):
    mdata = toy_mudata(names=("rna/spliced", "atac"))
    model = fitted(mdata)
    with pytest.raises(ValueError, match="`save_anndata`: .*modality 'rna/spliced'"):
        model.save(tmp_path / "both", save_anndata=True)
    assert not (tmp_path / "both").exists()
    model.save(tmp_path / "model")
    again = MultiDGD.load(tmp_path / "model", adata=mdata)
    assert (again.get_latent_representation() == model.get_latent_representation()).all()


@pytest.mark.parametrize("change", ["counts", "batches"])
def test_load_with_changed_training_cells(tmp_path, caplog, change):
    adata = toy_adata()
    fitted(adata, batch_key="batch").save(tmp_path / "model")
    with caplog.at_level("WARNING", logger="scvi"):
        MultiDGD.load(tmp_path / "model", adata=adata.copy())
        renamed_cells = renamed(adata)
        MultiDGD.load(tmp_path / "model", adata=renamed_cells)
    assert "treated as new cells" not in caplog.text
    other = adata.copy()
    if change == "counts":
        other.X[:3] = other.X[:3] * 2
    else:
        other.obs.loc[other.obs_names[:3], "batch"] = ["b1", "b0", "b1"]
    with caplog.at_level("WARNING", logger="scvi"):
        loaded = MultiDGD.load(tmp_path / "model", adata=other)
    assert "3 of 40 cells have the names of training cells" in caplog.text
    assert loaded.get_latent_representation().shape == (40, 3)
