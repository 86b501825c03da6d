"""Training in several processes."""

import os
import signal
import time

import mudata as md
import numpy as np
import pytest
import scvi
import torch
import torch.distributed as dist
from lightning.pytorch.callbacks import Callback
from tests.toy import toy_adata, toy_mudata

from multiDGD import MultiDGD
from multiDGD.model.core._devices import choose_strategy
from multiDGD.module import FeaturePanels
from multiDGD.train import EpochCheckpoint, PinnedStrategy, read_checkpoint
from multiDGD.train._launch import launch

FORK = {"accelerator": "cpu", "strategy": "fork", "enable_progress_bar": False}
TRAIN = {**FORK, "batch_size": 16, "plan_kwargs": {"hold": 0.0}}
RATES = ("lr", "lr_representation", "lr_mixture", "lr_covariate_mixture", "lr_likelihood")


def model_of(data, **setup):
    method = MultiDGD.setup_mudata if hasattr(data, "mod") else MultiDGD.setup_anndata
    method(data, **{"batch_key": "batch", **setup})
    return MultiDGD(data, n_latent=3, n_components=2)


def mosaic():
    """Cells at even positions lack a modality and have another batch than those at odd ones."""
    mdata = toy_mudata(61)
    parts = {"rna": mdata["rna"].copy(), "atac": mdata["atac"][1::2].copy()}
    joined = md.MuData(parts)
    for column in mdata.obs:
        joined.obs[column] = mdata.obs.loc[joined.obs_names, column].to_numpy()
    return joined


class FirstStep(Callback):
    """Write cells, parameters and gradients of the first step of each process."""

    def __init__(self, folder):
        self.folder = folder

    def on_train_batch_start(self, trainer, plan, batch, batch_idx):
        if trainer.global_step == 0:
            state = {k: v.clone() for k, v in plan.module.state_dict().items()}
            self.found = {"cells": batch["cells"], "state": state}

    def on_before_optimizer_step(self, trainer, plan, optimizer):
        if trainer.global_step == 0:
            named = dict(plan.module.named_parameters())
            del named["representations.z"]
            self.found["gradients"] = {k: p.grad.clone() for k, p in named.items()}
            self.found["decay"] = optimizer.param_groups[0]["weight_decay"]
            torch.save(self.found, self.folder / f"{trainer.global_rank}.pt")


class Final(Callback):
    """Write the number of epochs, and the state of each process at the end of training."""

    def __init__(self, folder):
        self.folder = folder

    def on_train_end(self, trainer, plan):
        found = {
            "epochs": trainer.current_epoch,
            "split": trainer.datamodule.state_dict(),
            "state": plan.module.state_dict(),
        }
        torch.save(found, self.folder / f"final{trainer.global_rank}.pt")


def assert_equal_in_all_processes(folder, n_processes):
    first, *others = (torch.load(folder / f"final{rank}.pt") for rank in range(n_processes))
    for other in others:
        assert other["epochs"] == first["epochs"]
        assert other["split"]["seed"] == first["split"]["seed"]
        assert all(map(torch.equal, other["split"]["split"], first["split"]["split"]))
        for name, value in first["state"].items():
            assert torch.equal(value, other["state"][name]), name
    return first


@pytest.mark.parametrize(
    ("make", "n_processes"),
    [(lambda: toy_mudata(61), 2), (lambda: toy_mudata(62), 3), (mosaic, 2)],
)
def test_first_gradient_equals_that_of_one_process(tmp_path, make, n_processes):
    model = model_of(make())
    penalties = {"l1": 0.1, "weight_precision": 7.0}
    model.train(
        max_epochs=1,
        train_size=1.0,
        devices=n_processes,
        callbacks=[FirstStep(tmp_path), Final(tmp_path)],
        **{**TRAIN, "plan_kwargs": {"hold": 0.0, **penalties}},
    )
    assert_equal_in_all_processes(tmp_path, n_processes)
    found = [torch.load(tmp_path / f"{rank}.pt") for rank in range(n_processes)]
    cells = torch.cat([part["cells"] for part in found])
    assert len(cells.unique()) == len(cells)
    module, manager = model.module, model.adata_manager
    module.load_state_dict(found[0]["state"])
    module.requires_grad_(True).zero_grad()
    panels = FeaturePanels(module, *manager.panels, differentiable=True)
    batch = manager.create_torch_dataset()[cells.numpy()]
    n_obs = manager.adata.n_obs
    panels.objective(batch, module.representations.z[cells].detach(), n_obs).loss.backward()
    for weight in module.decoder.parameters():
        if weight.ndim > 1:
            weight.grad += 0.1 * len(cells) * weight.detach().sign()
    named = dict(module.named_parameters())
    for part in found:
        assert part["decay"] == pytest.approx(7.0 * len(cells) / n_obs)
        for name, gradient in part["gradients"].items():
            expected = named[name].grad
            expected = torch.zeros_like(gradient) if expected is None else expected
            scale = expected.abs().max().clamp(min=1)
            assert (gradient - expected).abs().max() <= 1e-6 * scale, name


def test_losses_are_means_over_the_cells_of_all_processes():
    """Without learning, losses do not depend on the number of processes."""
    losses = []
    for n in (1, 2, 3):
        model = model_of(toy_mudata(62))
        still = {"plan_kwargs": {**dict.fromkeys(RATES, 0.0), "remove_covariates_at": None}}
        model.train(max_epochs=1, devices=n, **{**TRAIN, **still})
        losses.append({name: table.iloc[-1, 0] for name, table in model.history.items()})
    for other in losses[1:]:
        assert other.keys() == losses[0].keys()
        for name, value in other.items():
            assert value == pytest.approx(losses[0][name], rel=1e-5), name


def test_early_stopping_at_the_same_epoch(tmp_path):
    model = model_of(toy_adata(60))
    arguments = {"max_epochs": 60, "early_stopping_patience": 3, "callbacks": [Final(tmp_path)]}
    model.train(devices=2, **arguments, **TRAIN)
    final = assert_equal_in_all_processes(tmp_path, 2)
    assert len(model.history["train_loss"]) == final["epochs"] < 60
    # The rows of held-out cells are inferred again after the last epoch.
    z = model.module.representations.z[torch.from_numpy(model.train_indices)]
    assert torch.equal(z, final["state"]["representations.z"][model.train_indices])
    assert len(model.get_latent_representation()) == 60
    assert model.get_normalized_expression(n_samples=2).shape == (60, 12)


class EachEpoch(EpochCheckpoint):
    def on_train_epoch_end(self, trainer, module):
        trainer.save_checkpoint(self.path.with_name(f"epoch={trainer.current_epoch}.ckpt"))


@pytest.mark.parametrize("n_processes", [1, 3])
def test_resume_with_another_number_of_processes(tmp_path, n_processes):
    model = model_of(toy_adata(61))
    model.train(devices=2, max_epochs=5, callbacks=[EachEpoch(tmp_path)], **TRAIN)
    path = tmp_path / "epoch=2.ckpt"
    visits = read_checkpoint(path)["multiDGD"]["representations"]["visits"]
    # Train shards of 28 and 27 cells take two steps each, without repetition.
    np.testing.assert_array_equal(visits[model.train_indices], 3)
    np.testing.assert_array_equal(visits[model.validation_indices], 3)
    resumed = model_of(toy_adata(61))
    resumed.train(devices=n_processes, max_epochs=5, resume_from=path, **TRAIN)
    np.testing.assert_array_equal(resumed.train_indices, model.train_indices)
    ours, theirs = (m.history["train_loss"].to_numpy(float)[:, 0] for m in (resumed, model))
    np.testing.assert_array_equal(ours[:3], theirs[:3])
    np.testing.assert_allclose(ours[3:], theirs[3:], rtol=0.02)


class KillSecond(Callback):
    """Kill the second process in its third epoch."""

    def on_train_epoch_start(self, trainer, plan):
        if trainer.global_rank == 1 and trainer.current_epoch == 2:
            os.kill(os.getpid(), signal.SIGKILL)


def test_killed_process_ends_all(tmp_path):
    model = model_of(toy_adata(60))
    before = {k: v.clone() for k, v in model.module.state_dict().items()}
    start = time.monotonic()
    with pytest.raises(RuntimeError, match="Process 1 of the training was ended by SIGKILL"):
        model.train(
            devices=2, max_epochs=4, checkpoint_dir=tmp_path, callbacks=[KillSecond()], **TRAIN
        )
    assert time.monotonic() - start < 60
    assert not model.is_trained_
    assert all(torch.equal(v, before[k]) for k, v in model.module.state_dict().items())
    model.train(devices=2, max_epochs=4, resume_from=tmp_path, **TRAIN)
    assert len(model.history["train_loss"]) == 4


class Fail(Callback):
    """Raise an error, or spoil a representation, in the second process only."""

    def __init__(self, error):
        self.error = error

    def on_train_epoch_start(self, trainer, plan):
        if trainer.global_rank == 1 and self.error is not None:
            raise self.error
        if trainer.global_rank == 1:
            plan.row_optimizer.table[trainer.datamodule.owned_cells] = torch.nan


@pytest.mark.parametrize(
    ("error", "expected", "message"),
    [
        (KeyError("mine"), KeyError, "mine"),
        (None, RuntimeError, "The training diverged in epoch 0"),
    ],
)
def test_error_of_one_process(error, expected, message):
    model = model_of(toy_adata(60))
    with pytest.raises(expected, match=message):
        model.train(devices=2, max_epochs=2, callbacks=[Fail(error)], **TRAIN)
    assert not model.is_trained_


def _train_unseeded(folder):
    scvi.settings._seed = None
    rank = int(os.environ["LOCAL_RANK"])
    np.random.seed(rank)
    model = model_of(toy_adata(60))
    model.train(devices=2, max_epochs=2, callbacks=[Final(folder)], **TRAIN)
    model.save(folder / "model")
    split = [model.train_indices, model.validation_indices]
    torch.save((model.module.state_dict(), split), folder / f"{rank}.pt")
    return {**model._learned.state(), "history": model.history}


def test_processes_started_by_others_agree_without_a_seed(tmp_path):
    learned = launch(_train_unseeded, tmp_path, 2, "fork")
    assert_equal_in_all_processes(tmp_path, 2)
    (first, split), (other, other_split) = (
        torch.load(tmp_path / f"{i}.pt", weights_only=False) for i in range(2)
    )
    assert all(torch.equal(value, other[name]) for name, value in first.items())
    for one, two in zip(split, other_split, strict=True):
        np.testing.assert_array_equal(one, two)
    loaded = MultiDGD.load(tmp_path / "model", adata=toy_adata(60))
    assert len(learned["history"]["train_loss"]) == 2
    assert torch.equal(loaded.module.representations.z, first["representations.z"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"devices": 2, "strategy": "ddp"}, "`strategy` must be 'spawn', 'fork' or a Pinned"),
        ({"devices": 1, "num_nodes": 2}, "`num_nodes` is 2: start one process"),
        ({"devices": 5, "train_size": 0.9}, "`devices`: 5 processes have only 4 validation"),
    ],
)
def test_refused_arguments(arguments, message):
    model = model_of(toy_adata(40))
    with pytest.raises(ValueError, match=message):
        model.train(max_epochs=1, **{**FORK, **arguments})
    assert not model.is_initialised_


def test_refuses_another_number_of_connected_processes(tmp_path):
    model = model_of(toy_adata(40))
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        with pytest.raises(ValueError, match="`devices` .* 2 processes, but 1 are connected"):
            model.train(max_epochs=1, devices=2, **FORK)
    finally:
        dist.destroy_process_group()
    assert not model.is_initialised_


@pytest.mark.parametrize(("n_connected", "is_warned"), [(1, False), (2, True)])
def test_warns_of_one_model_for_each_connected_process(
    monkeypatch, caplog, n_connected, is_warned
):
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda: n_connected)
    with caplog.at_level("WARNING", logger="scvi.multiDGD"):
        choose_strategy(1, {})
    assert any("each trains its own model" in m for m in caplog.messages) == is_warned


@pytest.mark.parametrize("strategy", ["spawn", PinnedStrategy()])
def test_strategy_of_one_device(strategy):
    model = model_of(toy_adata(40))
    model.train(max_epochs=1, devices=1, **{**FORK, "strategy": strategy})
    assert model.is_trained_
