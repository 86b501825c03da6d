"""Whole steps on the CPU, where nothing is recorded, equal those of the ordinary plan."""

from contextlib import nullcontext
from unittest.mock import MagicMock

import numpy as np
import pytest
import scvi
import torch
from tests.model.core.test_resume import with_checkpoints
from tests.panels import two_panels
from tests.toy import toy_mudata
from tests.train.test_plan import fitted

from multiDGD.model.core._choose_plan import choose_plan
from multiDGD.train import PinnedStrategy
from multiDGD.train._step_graph import StepGraph

SETUP = {"batch_key": "batch", "labels_key": "label"}


def trained(capture, data=None, setup=SETUP, **train):
    scvi.settings.seed = 0
    plan = {"capture": capture, **train.pop("plan_kwargs", {})}
    data = toy_mudata() if data is None else data
    options = {"keep_on_device": True, "max_epochs": 8, **train}
    return fitted(data, setup, {"n_components": None}, plan_kwargs=plan, **options)


def assert_close(one, other, tolerance=1e-4):
    for name, value in one.module.state_dict().items():
        torch.testing.assert_close(
            value, other.module.state_dict()[name], rtol=tolerance, atol=tolerance
        )
    assert one.history.keys() == other.history.keys()
    for name, table in one.history.items():
        np.testing.assert_allclose(
            table.to_numpy(float), other.history[name].to_numpy(float), rtol=tolerance / 10
        )


@pytest.mark.parametrize(
    "train",
    [
        {"plan_kwargs": {"l1": 0.01}},
        {"plan_kwargs": {"schedule": "constant", "hold": 0.0, "weight_decay": 0.01}},
        {"batch_size": 16, "train_size": 1.0},
    ],
)
def test_training_is_the_same(train):
    captured, ordinary = trained(True, **train), trained(False, **train)
    assert_close(captured, ordinary)
    assert captured.trainer.global_step == ordinary.trainer.global_step > 8


def test_mixed_precision():
    # Rounding to bfloat16 amplifies differences of a float32's last digit.
    assert_close(*(trained(x, precision="bf16-mixed") for x in (True, False)), tolerance=2e-3)


def test_checkpoints_are_those_of_the_ordinary_plan(tmp_path):
    whole = trained(False)
    for first in (True, False):
        folder = tmp_path / str(first)
        trained(first, **with_checkpoints(folder))
        for then in (True, False):
            assert_close(trained(then, resume_from=folder / "epoch=3.ckpt"), whole)


def test_cells_with_different_features_fall_back_to_the_ordinary_plan():
    data, _ = two_panels(n_cells=60)
    setup = {"batch_key": "batch", "panel_key": "batch"}
    models = [trained(x, data.copy(), setup, max_epochs=3) for x in (True, False)]
    assert_close(*models, tolerance=0)


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"keep_on_device": False}, "`keep_on_device=True`"),
        ({"gradient_clip_val": 1.0}, "`gradient_clip_val` must be None"),
        ({"accumulate_grad_batches": 2}, "`accumulate_grad_batches` must be 1"),
    ],
)
def test_errors(train, message):
    with pytest.raises(ValueError, match=message):
        trained(True, **train)


def test_several_processes_raise():
    with pytest.raises(ValueError, match="`capture` requires a single device"):
        choose_plan(
            {"capture": True}, MagicMock(), True, {"devices": 2, "strategy": PinnedStrategy()}
        )


def test_recording_reads_and_keeps_values(monkeypatch):
    """With a stand-in for CUDA graphs, whose replay runs the function on the recorded memory."""
    step = StepGraph(lambda x, y: {"sum": (x + y)[:1], "both": x * y}, Device("cpu"))

    class Graph:
        def replay(self):
            step._flat.copy_(torch.cat(list(step._function(*step._inputs).values())))

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", lambda graph: nullcontext())
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(torch.cuda, "Stream", MagicMock())
    monkeypatch.setattr(torch.cuda, "current_stream", MagicMock())
    found = [step(torch.full((2,), float(i)), torch.ones(2)) for i in range(7)]
    assert isinstance(step._graph, Graph)
    assert [x["sum"].tolist() for x in found] == [[i + 1.0] for i in range(7)]
    assert [x["both"].tolist() for x in found] == [[float(i)] * 2 for i in range(7)]


class Device(str):
    """The processor, under the name of a GPU."""

    type = "cuda"
