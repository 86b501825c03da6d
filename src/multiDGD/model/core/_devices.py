"""Training in several processes, one for each device."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

import torch
import torch.distributed as dist
from lightning.pytorch.plugins.environments import (
    LightningEnvironment,
    LSFEnvironment,
    MPIEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from lightning.pytorch.strategies import Strategy

from multiDGD.data import logger
from multiDGD.train import PinnedStrategy
from multiDGD.train._collectives import compute_once
from multiDGD.train._launch import launch
from multiDGD.train._pinned_strategy import StartMethod

if TYPE_CHECKING:
    from ._training import TrainingMixin

_CLUSTERS = (TorchElasticEnvironment, SLURMEnvironment, LSFEnvironment, MPIEnvironment)
# Attributes that belong to the process of a model.
_LOCAL = ("_adata", "_adata_manager", "_inferred_cache", "_is_replica", "id", "module", "trainer")


def choose_strategy(
    devices: int | Sequence[int] | str, trainer_kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Arguments of the trainer for the given number of devices.

    Parameters
    ----------
    devices
        As for :class:`lightning.pytorch.Trainer`.
    trainer_kwargs
        Further arguments of the trainer.

    Raises
    ------
    ValueError
        If ``strategy`` does not keep representations in the process of their cell, or the processes
        of several hosts have to be started first, or another number of processes is connected.
    """
    n_nodes = int(trainer_kwargs.get("num_nodes") or 1)
    strategy = trainer_kwargs.get("strategy") or "auto"
    n_processes = n_devices(devices) * n_nodes
    n_connected = dist.get_world_size() if dist.is_initialized() else None
    if n_processes == 1:
        if n_connected is not None and n_connected > 1:
            logger.warning(
                "%d processes are connected by torch.distributed, and each trains its own model. To train "
                "one model, pass the number of processes on each host as `devices`.",
                n_connected,
            )
        is_own = isinstance(strategy, PinnedStrategy) or strategy in get_args(StartMethod)
        return {"strategy": "auto" if is_own else strategy}
    if strategy in ("auto", *get_args(StartMethod)):
        strategy = PinnedStrategy("fork" if strategy == "fork" else "spawn")
    if not isinstance(strategy, PinnedStrategy):
        raise ValueError(
            f"`strategy` must be 'spawn', 'fork' or a PinnedStrategy, found {strategy!r}: each process "
            "owns the representations of its cells."
        )
    if n_nodes > 1 and not _is_started():
        raise ValueError(
            f"`num_nodes` is {n_nodes}: start one process for each device by torchrun or srun."
        )
    if n_connected is not None and n_connected != n_processes:
        raise ValueError(
            f"`devices` and `num_nodes` are for {n_processes} processes, but {n_connected} "
            "are connected by torch.distributed. Pass the number of processes on each host as "
            "`devices`, and the number of hosts as `num_nodes`."
        )
    return {"strategy": strategy, "use_distributed_sampler": False}


def is_started_here(strategy: Mapping[str, Any]) -> bool:
    """Whether several processes are needed, and nobody has started them yet.

    Parameters
    ----------
    strategy
        Result of :func:`choose_strategy`.
    """
    return isinstance(strategy["strategy"], PinnedStrategy) and not _is_started()


def _is_started() -> bool:
    return "LOCAL_RANK" in os.environ or any(cluster.detect() for cluster in _CLUSTERS)


def count_processes(trainer_kwargs: Mapping[str, Any]) -> int:
    """Number of processes on all hosts that share a training.

    Parameters
    ----------
    trainer_kwargs
        Arguments of the trainer, with the result of :func:`choose_strategy`.
    """
    if not isinstance(trainer_kwargs.get("strategy"), PinnedStrategy):
        return 1
    return n_devices(trainer_kwargs["devices"]) * int(trainer_kwargs.get("num_nodes") or 1)


def check_sizes(n_processes: int, n_train: int, n_validation: int) -> None:
    """Check that each process has at least one training cell, and validation cell if any.

    Raises
    ------
    ValueError
        If there are fewer cells than processes.
    """
    if n_train < n_processes:
        raise ValueError(f"`devices`: {n_processes} processes have only {n_train} training cells.")
    if 0 < n_validation < n_processes:
        raise ValueError(
            f"`devices`: {n_processes} processes have only {n_validation} validation cells. Pass a "
            "larger `validation_size`, or 0."
        )


def fit_in_processes(model: TrainingMixin, arguments: dict[str, Any]) -> None:
    """Train a model in new processes on this host.

    Parameters
    ----------
    model
        The model, changed in place.
    arguments
        Arguments of its method `_fit`.
    """
    n_processes = count_processes(arguments["trainer_kwargs"])
    strategy = arguments["trainer_kwargs"]["strategy"]
    state = launch(_fit, (model, arguments), n_processes, strategy.start_method)
    _set_result(model, state, torch.device(state["device"]))


def _fit(given: tuple[TrainingMixin, dict[str, Any]]) -> dict[str, Any]:
    """Train a model in one of the new processes."""
    model, arguments = given
    strategy = arguments["trainer_kwargs"]["strategy"]
    # On a cluster, Lightning would number the processes by the scheduler's variables.
    strategy.cluster_environment = LightningEnvironment()
    model._fit(**arguments)
    return _result(model)


def share_result(model: TrainingMixin, strategy: Strategy) -> None:
    """Copy the result of a training from the first process to all others.

    Parameters
    ----------
    model
        The trained model, changed in place.
    strategy
        Strategy of the trainer.
    """
    if not isinstance(strategy, PinnedStrategy):
        return
    state = compute_once(strategy, lambda: _result(model))
    assert state is not None
    _set_result(model, state, strategy.root_device)


def _result(model: TrainingMixin) -> dict[str, Any]:
    """All that a training changes, on the CPU."""
    device = model.module.device
    state = {name: value for name, value in model.__dict__.items() if name not in _LOCAL}
    return {"attributes": state, "module": model.module.cpu(), "device": str(device)}


def _set_result(model: TrainingMixin, state: Mapping[str, Any], device: torch.device) -> None:
    model.__dict__.update(state["attributes"])
    model.module = state["module"].to(device)


def n_devices(devices: int | Sequence[int] | str) -> int:
    """Number of devices in an argument of Lightning; 1 if Lightning chooses the number.

    Parameters
    ----------
    devices
        As for :class:`lightning.pytorch.Trainer`.
    """
    if isinstance(devices, str) and "," in devices:
        return sum(bool(name.strip()) for name in devices.split(","))
    if isinstance(devices, str):
        devices = int(devices) if devices.lstrip("-").isdigit() else 1
    n = devices if isinstance(devices, int) else len(devices)
    return torch.cuda.device_count() if n == -1 else n
