"""Strategy of Lightning for the training in several processes."""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Literal, TypeAlias, TypeVar, get_args

import torch
import torch.distributed as dist
from lightning.pytorch import Trainer
from lightning.pytorch.plugins.environments import ClusterEnvironment
from lightning.pytorch.strategies import ParallelStrategy
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from torch import Tensor

from multiDGD._checks import choice

T = TypeVar("T")
StartMethod: TypeAlias = Literal["spawn", "fork"]


class PinnedStrategy(ParallelStrategy):
    """Train in several processes, each of which owns the representations of its cells.

    All other parameters are the same in all processes: after each backward pass, their gradients
    are summed over the processes in one all-reduce. Representations and the moments of their
    optimiser stay in the process of their cell.

    Parameters
    ----------
    start_method
        How :meth:`multiDGD.MultiDGD.train` starts the processes: ``"spawn"`` for new ones, to which
        the data are copied, or ``"fork"`` for copies of the calling process, which share its
        memory. Ignored if ``torchrun`` or SLURM started them.
    process_group_backend
        Backend of :mod:`torch.distributed`. By default, ``"nccl"`` on GPUs and ``"gloo"`` otherwise.
    timeout
        Longest time for which a process waits for the others. The first process initialises the
        model while the others wait.
    cluster_environment
        Environment that started the processes. By default, Lightning detects it.

    Raises
    ------
    ValueError
        If ``start_method`` is unknown.

    Examples
    --------
    >>> from multiDGD.train import PinnedStrategy
    >>> strategy = PinnedStrategy(process_group_backend="gloo")
    >>> model.train(devices=2, strategy=strategy)  # doctest: +SKIP
    """

    strategy_name = "pinned"

    def __init__(
        self,
        start_method: StartMethod = "spawn",
        process_group_backend: str | None = None,
        timeout: timedelta = timedelta(days=1),
        cluster_environment: ClusterEnvironment | None = None,
    ) -> None:
        choice("start_method", start_method, get_args(StartMethod))
        super().__init__(cluster_environment=cluster_environment)
        self.start_method = start_method
        self.process_group_backend = process_group_backend
        self.timeout = timeout
        #: Set by Lightning.
        self.num_nodes = 1
        self._accumulates = False

    @property
    def num_processes(self) -> int:
        """Number of processes on this host."""
        return len(self.parallel_devices or ())

    @property
    def root_device(self) -> torch.device:
        """Device of this process."""
        assert self.parallel_devices is not None
        return self.parallel_devices[self.local_rank]

    @property
    def is_distributed(self) -> bool:
        """Always `True`, for Lightning."""
        return True

    def set_world_ranks(self) -> None:
        """Number the processes of all hosts."""
        environment = self.cluster_environment
        if environment is not None:
            environment.set_global_rank(self.node_rank * self.num_processes + self.local_rank)
            environment.set_world_size(self.num_nodes * self.num_processes)
            rank_zero_only.rank = self.global_rank  # type: ignore[attr-defined]

    def setup_environment(self) -> None:
        """Connect to the other processes, unless they are already connected."""
        super().setup_environment()
        self.set_world_ranks()
        if dist.is_initialized():
            return
        environment = self.cluster_environment
        assert environment is not None
        os.environ["MASTER_ADDR"] = environment.main_address
        os.environ["MASTER_PORT"] = str(environment.main_port)
        default = "nccl" if self.root_device.type == "cuda" else "gloo"
        dist.init_process_group(
            self.process_group_backend or default,
            rank=self.global_rank,
            world_size=self.world_size,
            timeout=self.timeout,
        )
        atexit.register(_disconnect)

    def setup(self, trainer: Trainer) -> None:
        """Copy the parameters of the first process to all others.

        Raises
        ------
        ValueError
            If the model of another process has other shapes.
        """
        super().setup(trainer)
        assert self.lightning_module is not None
        state = self.lightning_module.state_dict()
        shapes = {name: tuple(value.shape) for name, value in state.items()}
        expected = self.broadcast(shapes)
        if shapes != expected:
            name = next(n for n in {**expected, **shapes} if shapes.get(n) != expected.get(n))
            raise ValueError(
                f"The models of two processes differ: `{name}` has the shape {shapes.get(name)} in "
                f"process {self.global_rank} and {expected.get(name)} in process 0. Create the same "
                "model in all processes."
            )
        for value in state.values():
            dist.broadcast(value, 0)

    def model_to_device(self) -> None:
        """Move the module to the device of this process."""
        assert self.model is not None
        self.model.to(self.root_device)

    @contextmanager
    def block_backward_sync(self) -> Iterator[None]:
        """Accumulate the gradients of several minibatches before they are summed."""
        self._accumulates = True
        try:
            yield
        finally:
            self._accumulates = False

    def post_backward(self, closure_loss: Tensor) -> None:
        """Sum the gradients of the optimised parameters over all processes."""
        if not self._accumulates:
            groups = (group for optimizer in self.optimizers for group in optimizer.param_groups)
            sum_gradients([p for group in groups for p in group["params"]])

    def barrier(self, name: str | None = None) -> None:
        """Wait for all processes."""
        if dist.is_initialized():
            dist.barrier()

    def broadcast(self, obj: T, src: int = 0) -> T:
        """Return the object of one process in all of them."""
        if not dist.is_initialized():
            return obj
        objects = [obj]
        dist.broadcast_object_list(objects, src)
        return objects[0]

    def reduce(
        self, tensor: Any, group: Any = None, reduce_op: dist.ReduceOp | str | None = "mean"
    ) -> Any:
        """Sum or mean of a tensor over all processes; other objects stay as they are."""
        if not isinstance(tensor, Tensor) or not dist.is_initialized():
            return tensor
        is_mean = isinstance(reduce_op, str) and reduce_op.lower() in ("mean", "avg")
        if isinstance(reduce_op, str) and not is_mean:
            reduce_op = getattr(dist.ReduceOp, reduce_op.upper())
        total = tensor.clone()
        dist.all_reduce(total, dist.ReduceOp.SUM if is_mean else reduce_op, group)
        return total / dist.get_world_size(group) if is_mean else total

    def gather_objects(self, value: T) -> list[T]:
        """The objects of all processes, in their order.

        Parameters
        ----------
        value
            Object of this process.
        """
        values: list[Any] = [None] * self.world_size
        dist.all_gather_object(values, value)
        return values

    def gather_rows(self, table: Tensor, is_owned: Tensor) -> None:
        """Replace the rows of a table, in place, by those of the processes that own them.

        Parameters
        ----------
        table
            Shape ``(n, ...)``.
        is_owned
            Mask of the rows that this process owns, shape ``(n,)``.
        """
        table[~is_owned] = 0
        dist.all_reduce(table)


@torch.no_grad()
def sum_gradients(parameters: list[Tensor]) -> None:
    """Sum the gradients of parameters over all processes in one all-reduce.

    Parameters
    ----------
    parameters
        The parameters. Missing gradients count as zeros.
    """
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    dist.all_reduce(flat)
    parts = flat.split([p.numel() for p in parameters])
    for parameter, part in zip(parameters, parts, strict=True):
        parameter.grad = part.view_as(parameter)


def _disconnect() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()
