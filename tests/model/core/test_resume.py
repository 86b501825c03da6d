"""Trainings that are resumed from a checkpoint."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scvi
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from scvi.train import SaveCheckpoint
from tests.toy import toy_adata, toy_mudata

from multiDGD import MultiDGD
from multiDGD.train import EpochCheckpoint

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}
TRAIN = {"max_epochs": 7, "batch_size": 32, **QUIET}
SETUP = {"batch_key": "batch", "labels_key": "label"}


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def model_of(data, **setup):
    scvi.settings.seed = 0
    method = MultiDGD.setup_mudata if hasattr(data, "mod") else MultiDGD.setup_anndata
    method(data, **{"batch_key": "batch", **setup})
    return MultiDGD(data, n_latent=3)


class EachEpoch(EpochCheckpoint):
    """Write a checkpoint for each epoch to a file of its own."""

    def on_train_epoch_end(self, trainer, module):
        trainer.save_checkpoint(self.path.with_name(f"epoch={trainer.current_epoch}.ckpt"))


def with_checkpoints(folder):
    return {"callbacks": [EachEpoch(folder)]}


def assert_equal(one, other):
    for name, value in one.module.state_dict().items():
        assert torch.equal(value, other.module.state_dict()[name]), name
    assert one.history.keys() == other.history.keys()
    for name, table in one.history.items():
        pd.testing.assert_frame_equal(
            table.astype(float), other.history[name].astype(float), check_exact=True
        )
    np.testing.assert_array_equal(one.train_indices, other.train_indices)
    np.testing.assert_array_equal(
        one.get_normalized_expression(modality=one.module.modalities[0], n_samples=2),
        other.get_normalized_expression(modality=one.module.modalities[0], n_samples=2),
    )


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    ("make", "arguments"),
    [
        (lambda: toy_adata(120), {}),
        (lambda: toy_mudata(120), {"plan_kwargs": {"split_validation_counts": True}}),
        (lambda: toy_adata(120), {"check_val_every_n_epoch": 2}),
        (lambda: toy_adata(120), {"keep_on_device": True, "train_size": 1.0}),
    ],
)
def test_resumed_training_equals_an_uninterrupted_one(tmp_path, make, arguments):
    whole = model_of(make(), labels_key="label")
    whole.train(**TRAIN, **arguments, **with_checkpoints(tmp_path))
    for epoch in (0, 2, 3, 6):
        resumed = model_of(make(), labels_key="label")
        scvi.settings.seed = 5  # the checkpoint contains the split and the order of the cells
        resumed.train(
            **TRAIN,
            **arguments,
            resume_from=tmp_path / f"epoch={epoch}.ckpt",
        )
        scvi.settings.seed = 0
        assert_equal(resumed, whole)


def test_early_stopping_continues(tmp_path):
    arguments = {**TRAIN, "max_epochs": 60, "early_stopping_patience": 4}
    whole = model_of(toy_adata(60))
    whole.train(**arguments, **with_checkpoints(tmp_path))
    n_epochs = len(whole.history["train_loss"])
    assert n_epochs < 60
    resumed = model_of(toy_adata(60))
    path = tmp_path / f"epoch={n_epochs - 3}.ckpt"
    resumed.train(**arguments, resume_from=path)
    assert_equal(resumed, whole)


def test_checkpoint_of_a_folder(tmp_path):
    model = model_of(toy_adata(60))
    model.train(**TRAIN, checkpoint_dir=tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["last.ckpt"]
    more = {**TRAIN, "max_epochs": 8}
    resumed, again = model_of(toy_adata(60)), model_of(toy_adata(60))
    resumed.train(**more, resume_from=tmp_path / "run")
    assert len(resumed.history["train_loss"]) == 8
    again.train(**more, ckpt_path=str(tmp_path / "run" / "last.ckpt"))
    assert_equal(again, resumed)
    with pytest.raises(ValueError, match="pass only one"):
        again.train(**TRAIN, resume_from=tmp_path, ckpt_path=str(tmp_path / "last.ckpt"))


def test_epochs_between_checkpoints(tmp_path):
    found = []

    class Noted(EpochCheckpoint):
        def on_train_epoch_end(self, trainer, module):
            super().on_train_epoch_end(trainer, module)
            found.append(torch.load(self.path)["epoch"] if self.path.exists() else None)

    model = model_of(toy_adata(60))
    model.train(**TRAIN, callbacks=[Noted(tmp_path, every_n_epochs=3)])
    assert found == [None, None, 2, 2, 2, 5, 6]


def test_checkpoints_of_others(tmp_path):
    model = model_of(toy_adata(60))
    model.train(**TRAIN, **with_checkpoints(tmp_path))
    path = tmp_path / "epoch=3.ckpt"
    for data, error in ((toy_adata(60, seed=1), "other cells"), (toy_adata(50), "other cells")):
        with pytest.raises(ValueError, match=error):
            model_of(data).train(**TRAIN, resume_from=path)
    MultiDGD.setup_anndata(adata := toy_adata(60), batch_key="batch")
    with pytest.raises(ValueError, match="a model with other arguments"):
        MultiDGD(adata, n_latent=4).train(**TRAIN, resume_from=path)
    torch.save({"state_dict": {}}, tmp_path / "foreign.ckpt")
    with pytest.raises(ValueError, match="not written during the training of a MultiDGD"):
        model.train(**TRAIN, resume_from=tmp_path / "foreign.ckpt")


def test_checkpoints_within_an_epoch_are_refused(tmp_path):
    model = model_of(toy_adata(60))
    callback = ModelCheckpoint(dirpath=tmp_path, every_n_train_steps=1, save_top_k=-1)
    model.train(**{**TRAIN, "batch_size": 16}, enable_checkpointing=True, callbacks=[callback])
    with pytest.raises(ValueError, match="before the end of an epoch"):
        model.train(**TRAIN, resume_from=next(tmp_path.glob("*step=2.ckpt")))


@pytest.mark.parametrize("argument", ["resume_from", "ckpt_path"])
def test_checkpoints_execute_no_code(tmp_path, argument):
    model = model_of(toy_adata(60))
    model.train(**TRAIN, **with_checkpoints(tmp_path))
    path, flag = tmp_path / "epoch=3.ckpt", tmp_path / "flag"
    content = torch.load(path, weights_only=True)
    torch.save({**content, "more": Evil(flag)}, path)
    with pytest.raises(ValueError, match="not a readable checkpoint"):
        model.train(**TRAIN, **{argument: str(path)})
    assert not flag.exists()


def test_truncated_checkpoints(tmp_path):
    model = model_of(toy_adata(60))
    model.train(**TRAIN, **with_checkpoints(tmp_path))
    path = tmp_path / "epoch=3.ckpt"
    content = path.read_bytes()
    for size in (0, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(ValueError, match=r"epoch=3.ckpt is not a readable checkpoint"):
            model.train(**TRAIN, resume_from=path)


def test_saved_during_a_further_training(tmp_path):
    """A model that is saved during training has no records of the training before."""
    adata = toy_adata(90)
    MultiDGD.setup_anndata(adata, **SETUP)
    model = MultiDGD(adata, n_latent=3)
    model.train(**TRAIN)
    callback = SaveCheckpoint(dirpath=tmp_path, monitor="validation_loss", save_top_k=-1)
    model.train(**TRAIN, start="zero", enable_checkpointing=True, callbacks=[callback])
    folders = sorted(tmp_path.iterdir(), key=os.path.getmtime)
    for folder in (folders[0], folders[-1]):
        saved = MultiDGD.load(folder, adata=adata)
        z = saved.module.representations.z.numpy()
        np.testing.assert_array_equal(saved.known_cells_["representation"], z[saved.train_indices])
        assert not saved.is_checkpoint_
        for ask in (saved.get_typicality, saved.get_expression_interval, saved.predict):
            ask()
        saved.sample(5)
    # The last epoch has the parameters of the model itself.
    np.testing.assert_array_equal(
        saved.get_normalized_expression(), model.get_normalized_expression()
    )
    np.testing.assert_array_equal(saved.get_typicality(), model.get_typicality())


def test_checkpoint_loaded_without_data(tmp_path, caplog):
    adata = toy_adata(60)
    model = model_of(adata)
    callback = SaveCheckpoint(dirpath=tmp_path, monitor="validation_loss")
    model.train(**TRAIN, enable_checkpointing=True, callbacks=[callback])
    with caplog.at_level("WARNING", logger="scvi"):
        saved = MultiDGD.load(callback.best_model_path, adata=False)
    assert "load it with `adata`" in caplog.text
    assert saved.get_latent_representation().shape == (60, 3)


SCRIPT = """
import sys
sys.path.insert(0, {root!r})
import torch
torch.set_num_threads(1)
from pathlib import Path
from tests.model.core.test_resume import TRAIN, model_of, toy_adata
folder = Path({folder!r})
model = model_of(toy_adata(120))
resume = folder if any(folder.glob("*.ckpt")) else None
print("start", flush=True)
model.train(**{{**TRAIN, "max_epochs": 60}}, checkpoint_dir=folder, resume_from=resume)
model.save({result!r}, overwrite=True)
"""


@pytest.mark.slow
def test_training_survives_kills_at_random_moments(tmp_path):
    """50 kills: every file is readable, and the last process ends as an undisturbed one."""
    torch.set_num_threads(1)
    folder, result = tmp_path / "checkpoints", tmp_path / "model"
    folder.mkdir()
    script = SCRIPT.format(
        root=str(Path(__file__).parents[3]), folder=str(folder), result=str(result)
    )
    rng = np.random.default_rng(0)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    n_kills = 0
    for _ in range(50):
        with subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment
        ) as process:
            assert process.stdout.readline() == "start\n"
            time.sleep(rng.uniform(0.02, 0.5))
            n_kills += process.poll() is None
            process.send_signal(signal.SIGKILL)
        for path in folder.glob("*.ckpt"):
            torch.load(path, weights_only=True)
    assert n_kills > 25
    subprocess.run([sys.executable, "-c", script], check=True, env=environment)
    whole = model_of(toy_adata(120))
    whole.train(**{**TRAIN, "max_epochs": 60})
    assert_equal(MultiDGD.load(result, adata=whole.adata), whole)
