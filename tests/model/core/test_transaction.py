"""Trainings that fail or are interrupted leave the model as it was."""

import os
import signal
import threading

import numpy as np
import pytest
from lightning.pytorch.callbacks import Callback
from tests.model.fitting import TRAIN, fitted, load, renamed
from tests.toy import toy_adata, toy_mudata

from multiDGD import MultiDGD

SETUP = {"batch_key": "batch", "labels_key": "label"}


def state(model):
    """Everything that a training changes, as arrays and plain values."""
    return {
        **{name: value.clone() for name, value in model.module.state_dict().items()},
        **{name: getattr(model, name) for name in ("known_cells_", "typical_scores_")},
        "is_trained": model.is_trained_,
        "history": {name: table.copy() for name, table in (model.history or {}).items()},
        "train_indices": model.train_indices,
    }


def assert_same(model, before):
    after = state(model)
    assert after.keys() == before.keys()
    for name, value in before.items():
        found = after[name]
        if isinstance(value, dict):
            assert found.keys() == value.keys()
            assert all(np.array_equal(found[key], value[key]) for key in value)
        else:
            assert np.array_equal(found, value), name


class At(Callback):
    """Call a function at the end of the second epoch."""

    def __init__(self, action):
        self.action = action

    def on_train_epoch_end(self, trainer, module):
        if trainer.current_epoch == 1:
            self.action()


def fail(*args, **kwargs):
    raise OSError("no space left")


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def refused(model, tmp_path):
    """Arguments of `train` that it refuses, and the name in the message."""
    (tmp_path / "empty").mkdir()
    return [
        ({"plan_kwargs": {"lr": -1}}, "`lr`"),
        ({"plan_kwargs": {"lr_rep": 1e-3}}, "lr_rep"),
        ({"plan_kwargs": {"schedule": "linear"}}, "`schedule`"),
        ({"datasplitter_kwargs": {"no_such": 1}}, "no_such"),
        ({"train_size": 1.5}, "`train_size`"),
        ({"no_such": 1}, "no_such"),
        ({"accelerator": "no_such"}, "no_such"),
        ({"start": "middle"}, "`start`"),
        ({"batch_size": 0}, "`batch_size`"),
        ({"resume_from": tmp_path / "absent.ckpt"}, "`resume_from`"),
        ({"resume_from": tmp_path / "empty"}, "`resume_from`"),
        ({"early_stopping_monitor": "count_split_validation"}, "`early_stopping_monitor`"),
        ({"early_stopping_monitor": "mixture_los_validation"}, "Nearest: .'mixture_loss_validat"),
    ]


def test_refused_arguments_change_nothing(tmp_path):
    model = fitted(toy_adata(), **SETUP)
    before = state(model)
    for arguments, name in refused(model, tmp_path):
        with pytest.raises((ValueError, TypeError), match=name):
            model.train(**{**TRAIN, "start": "zero", **arguments})
        assert_same(model, before)


@pytest.mark.parametrize("make", [toy_adata, toy_mudata])
def test_error_during_further_training(make):
    model = fitted(make(), **SETUP)
    before, z = state(model), model.get_latent_representation()
    with pytest.raises(OSError, match="no space left"):
        model.train(**{**TRAIN, "max_epochs": 4}, start="zero", callbacks=[At(fail)])
    assert_same(model, before)
    np.testing.assert_array_equal(model.get_latent_representation(), z)


@pytest.mark.parametrize("step", ["_infer_remaining", "_learn", "_learn_imputers"])
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_error_after_the_last_epoch(monkeypatch, step, error):
    model = fitted(toy_mudata(), **SETUP)
    before = state(model)

    def stop(*args, **kwargs):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(MultiDGD, step, stop)
        with pytest.raises(error):
            model.train(**TRAIN, start="zero")
    assert_same(model, before)
    model.train(**TRAIN)
    assert len(model.history["train_loss"]) == 4


def test_error_in_the_first_training():
    adata = toy_adata()
    MultiDGD.setup_anndata(adata, **SETUP)
    model = MultiDGD(adata, n_latent=3)
    with pytest.raises(OSError, match="no space left"):
        model.train(**{**TRAIN, "max_epochs": 4}, callbacks=[At(fail)])
    assert not model.is_trained
    with pytest.raises(RuntimeError, match="not trained"):
        model.get_latent_representation()
    model.train(**TRAIN)
    assert np.isfinite(model.get_latent_representation()).all()


def test_interrupted_training(restored_interrupts):
    model = fitted(toy_adata(), **SETUP)
    before, handler = state(model), signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        model.train(**{**TRAIN, "max_epochs": 4}, start="zero", callbacks=[At(interrupt)])
    assert_same(model, before)
    # Lightning ignores further interrupts after the first one.
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.fixture
def restored_interrupts():
    """Python's handler; shells start background processes with interrupts ignored."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, handler)


def test_exits_of_callbacks_are_not_interruptions():
    model = fitted(toy_adata(), **SETUP)
    with pytest.raises(SystemExit):
        model.train(**{**TRAIN, "max_epochs": 4}, callbacks=[At(lambda: exit(3))])


def test_training_in_a_thread():
    model = fitted(toy_adata(), **SETUP)
    thread = threading.Thread(target=model.train, kwargs=TRAIN)
    thread.start()
    thread.join()
    assert len(model.history["train_loss"]) == 4


def test_error_while_mapping_a_query(monkeypatch):
    reference = fitted(toy_adata(), **SETUP)
    query = renamed(toy_adata(seed=3))
    query.obs["batch"] = "new"
    model = load(query, reference)
    before = state(model)
    with monkeypatch.context() as patch:
        patch.setattr(MultiDGD, "_store_inferred", fail)
        with pytest.raises(OSError, match="no space left"):
            model.train(max_epochs=5)
    assert_same(model, before)


@pytest.mark.parametrize(
    "plan",
    [
        {"lr": 1e3, "lr_representation": 1e3, "lr_mixture": 1e3, "lr_likelihood": 1e3},
        {"lr": 1e30},
        {"lr_representation": 1e30, "hold": 0.0},
        {"lr_likelihood": 1e6},
    ],
)
def test_diverged_training(plan):
    model = fitted(toy_mudata(), **SETUP)
    before = state(model)
    try:
        model.train(**{**TRAIN, "max_epochs": 30}, start="zero", plan_kwargs=plan)
    except RuntimeError as error:
        assert "diverged in epoch" in str(error)
        assert "Lower the learning rates" in str(error)
        assert_same(model, before)
    for modality in ("rna", "atac"):
        assert np.isfinite(model.get_normalized_expression(modality=modality)).all(axis=None)
    assert np.isfinite(model.get_latent_representation()).all()
    assert np.isfinite(model.get_typicality()).all()
