"""Initialisation, training, and invalid arguments of `train`."""

import anndata as ad
import mudata as md
import numpy as np
import pytest
import scvi
import torch
from tests.model.fitting import TRAIN, fitted, numbered_batches, renamed_mudata
from tests.panels import two_panels
from tests.toy import toy_adata, toy_mudata

from multiDGD import MultiDGD
from multiDGD.data import CellManager

ONE_EPOCH = {**TRAIN, "max_epochs": 1}


def test_training_continues_from_the_current_state():
    model = fitted(toy_mudata(), train={"max_epochs": 20})
    before = model.get_latent_representation()
    rates = dict.fromkeys(("lr", "lr_representation", "lr_mixture"), 0.0)
    model.train(**{**TRAIN, "train_size": 1.0, "plan_kwargs": rates})
    np.testing.assert_array_equal(model.get_latent_representation(), before)
    assert len(model.history["train_loss"]) == 22
    model.train(**TRAIN, start="zero")
    assert np.abs(model.get_latent_representation()).max() < np.abs(before).max()


def test_start_from_an_array():
    mdata = toy_mudata()
    given = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    rates = dict.fromkeys(("lr", "lr_representation", "lr_mixture"), 0.0)
    model = fitted(mdata, train={"start": given, "plan_kwargs": rates, "train_size": 1.0})
    z = model.get_latent_representation()
    centred = given - given.mean(0)
    correlation = np.corrcoef(z.ravel(), centred.ravel())[0, 1]
    assert correlation > 0.9999
    assert np.sqrt((z**2).sum(1).mean()) == pytest.approx(1.0, rel=1e-3)
    for start in ("random", given[:, :2], np.full((40, 3), np.nan)):
        with pytest.raises(ValueError, match="`start`"):
            model.train(**TRAIN, start=start)


def test_representations_of_held_out_cells_equal_those_of_new_cells():
    model = fitted(
        toy_mudata(),
        train={"train_size": 0.5, "validation_size": 0.2, "start": "zero", "max_epochs": 10},
        labels_key="label",
    )
    z = model.get_latent_representation()
    assert len(model.test_indices) == 12
    held_out = np.concatenate([model.validation_indices, model.test_indices])
    assert (np.abs(z[held_out]).max(1) > 0).all()
    new = model.get_latent_representation(renamed_mudata(model.adata, "new"))
    np.testing.assert_allclose(z[held_out], new[held_out], atol=1e-5)
    assert np.abs(z - new)[model.train_indices].max() > 1e-3


def test_without_validation_cells():
    model = fitted(toy_adata(), train={"train_size": 1.0, "early_stopping": True})
    assert "validation_loss" not in model.history


def test_backed_data(tmp_path):
    in_memory = toy_adata()
    in_memory.write_h5ad(tmp_path / "x.h5ad")
    backed = ad.read_h5ad(tmp_path / "x.h5ad", backed="r")
    z = []
    for adata in (backed, in_memory):
        torch.manual_seed(0)
        z.append(fitted(adata, batch_key="batch").get_latent_representation())
    np.testing.assert_allclose(*z, atol=1e-5)
    backed.file.close()


@pytest.mark.parametrize(
    ("data", "setup"),
    [(toy_adata, {}), (toy_mudata, {}), (lambda: two_panels()[0], {"panel_key": "batch"})],
)
def test_initialisation_reads_no_whole_matrix_from_disk(data, setup, monkeypatch, tmp_path):
    cells = data()
    cells.write(tmp_path / "x")
    read = md.read_h5mu if isinstance(cells, md.MuData) else ad.read_h5ad
    backed = read(tmp_path / "x", backed="r")
    rates = dict.fromkeys(("lr", "lr_representation", "lr_mixture"), 0.0)
    arguments = {
        "model": {"n_components": 2},
        "train": {"plan_kwargs": rates, "train_size": 1.0, "max_epochs": 1},
        **setup,
    }
    expected = fitted(cells, **arguments)
    monkeypatch.setattr(CellManager, "matrix", None)
    found = fitted(backed, **arguments)
    for name, value in expected.module.state_dict().items():
        torch.testing.assert_close(found.module.state_dict()[name], value, rtol=1e-3, atol=1e-4)
    backed.file.close()


@pytest.mark.parametrize("data", [toy_adata, toy_mudata])
def test_another_model_of_the_object_is_used_before_training(data):
    """Both models write codes to the object, and each is trained on its own codes."""
    u = []
    for is_used in (False, True):
        cells = data()
        other = fitted(cells, batch_key="site", labels_key="batch")
        (MultiDGD.setup_anndata if data is toy_adata else MultiDGD.setup_mudata)(
            cells, batch_key="batch", labels_key="site"
        )
        if is_used:
            other.get_latent_representation()
        scvi.settings.seed = 0
        model = MultiDGD(cells, n_latent=3)
        model.train(**TRAIN)
        u.append(model.get_covariate_representation())
        assert list(model.adata_manager.create_torch_dataset().covariates[:4, 0]) == [0, 1, 0, 1]
    np.testing.assert_array_equal(*u)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"lr": "fast"}, ValueError, "`lr` must be a finite number, found 'fast'"),
        ({"lr": -1.0}, ValueError, "`lr` must be a number above 0"),
        ({"plan_kwargs": "lr"}, ValueError, "`plan_kwargs` must be a dictionary, .*'lr'"),
        ({"early_stopping": "yes"}, ValueError, "`early_stopping` must be True or False"),
        ({"early_stopping_patience": -1}, ValueError, "`early_stopping_patience` must be an int"),
        ({"use_gpu": True}, TypeError, "no argument `use_gpu`: pass `accelerator`"),
    ],
)
def test_invalid_values_raise(arguments, error, message):
    adata = toy_adata()
    MultiDGD.setup_anndata(adata)
    model = MultiDGD(adata, n_latent=2)
    with pytest.raises(error, match=message):
        model.train(**arguments)
    assert not model.is_trained_


def test_batch_size_of_zero_raises():
    adata = numbered_batches()
    MultiDGD.setup_anndata(adata)
    with pytest.raises(ValueError, match="`batch_size` must be an integer of at least 1, found 0"):
        MultiDGD(adata, n_latent=3).train(batch_size=0)


@pytest.mark.parametrize("value", [2.5, 0, "3"])
def test_invalid_max_epochs_raises(value):
    adata = numbered_batches()
    MultiDGD.setup_anndata(adata)
    with pytest.raises(ValueError, match="`max_epochs` must be an integer of at least 1"):
        MultiDGD(adata, n_latent=3).train(max_epochs=value)


@pytest.mark.parametrize("value", [0, -0.5, 1.5])
def test_invalid_train_size_raises(value):
    adata = numbered_batches()
    MultiDGD.setup_anndata(adata)
    with pytest.raises(ValueError, match="`train_size` must be above 0 and at most 1"):
        MultiDGD(adata, n_latent=3).train(train_size=value)


@pytest.mark.parametrize("value", [16, "16-mixed", "16-true", "bf16-true"])
def test_unsupported_precisions_raise(value):
    """Counts are too large for 16 bits."""
    adata = numbered_batches()
    MultiDGD.setup_anndata(adata)
    model = MultiDGD(adata, n_latent=3)
    with pytest.raises(ValueError, match="`precision` must be '32-true' or 'bf16-mixed', found"):
        model.train(accelerator="cpu", precision=value)
    assert not model.is_initialised_


@pytest.mark.parametrize("start", ["spectral", "zero"])
@pytest.mark.parametrize("n_cells", [1, 2, 3])
def test_minimal_number_of_cells(n_cells, start):
    adata = toy_adata(n_cells)
    MultiDGD.setup_anndata(adata)
    model = MultiDGD(adata, n_latent=3)
    if n_cells < 3:
        with pytest.raises(ValueError, match=f"has {n_cells} cells?, .*; at least 3 are required"):
            model.train(start=start, **ONE_EPOCH)
        assert not model.is_initialised_
    else:
        model.train(start=start, **ONE_EPOCH)
        assert model.is_trained


@pytest.mark.parametrize("devices", [1, "1", "auto"])
def test_one_device(devices):
    adata = numbered_batches()
    MultiDGD.setup_anndata(adata)
    model = MultiDGD(adata, n_latent=3)
    model.train(max_epochs=1, accelerator="cpu", devices=devices, enable_progress_bar=False)
    assert model.is_trained


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_training_without_gradients_in_the_surroundings(tmp_path, mode):
    expected = fitted(toy_mudata(), batch_key="batch")
    with mode():
        model = fitted(toy_mudata(), batch_key="batch")
        model.save(tmp_path / "model")
        loaded = MultiDGD.load(tmp_path / "model", adata=model.adata)
        loaded.train(**TRAIN)
    expected.train(**TRAIN)
    np.testing.assert_array_equal(
        loaded.get_latent_representation(), expected.get_latent_representation()
    )


def test_increasing_loss_warns(caplog):
    adata = toy_adata()
    MultiDGD.setup_anndata(adata)
    model = MultiDGD(adata, n_latent=2)
    quiet = {"enable_progress_bar": False, "accelerator": "cpu"}
    with caplog.at_level("WARNING", logger="scvi"):
        model.train(max_epochs=3, **quiet)
        assert "increased" not in caplog.text
        model.train(max_epochs=3, lr=30.0, **quiet)
    losses = model.history["train_loss"].iloc[3:, 0].astype(float).tolist()
    assert losses[-1] > losses[0]
    assert f"The training loss increased from {losses[0]:.5g} to {losses[-1]:.5g}" in caplog.text
