"""The training plan whose step is recorded as a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from ._loss_terms import terms_of
from ._plan import MultiDGDTrainingPlan
from ._step_graph import StepGraph


class CapturedTrainingPlan(MultiDGDTrainingPlan):
    """Fit as :class:`MultiDGDTrainingPlan`, in steps that a CUDA device runs without the processor.

    A step of the ordinary plan launches some hundred kernels one by one. Here, a step from the
    indices of the cells to the updated parameters is one function, which :class:`StepGraph`
    records. There is one recording for each number of cells in a minibatch, with and without
    updates of the representations. On other devices, the function itself runs.

    The counts must be on the device (``keep_on_device=True``), and all cells must have measured all
    features of their modalities. Parameters are those of :class:`MultiDGDTrainingPlan`.
    """

    def on_fit_start(self) -> None:
        """Create the optimiser of the representations."""
        super().on_fit_start()
        self._graphs: dict[tuple[int, bool], StepGraph] = {}

    def on_fit_end(self) -> None:
        """Free the memory of the recordings."""
        self._graphs.clear()

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """Run the whole step, including the updates of all parameters."""
        cells = batch["cells"]
        key = len(cells), self.is_holding
        if key not in self._graphs:
            self._graphs[key] = StepGraph(self._whole_step, cells.device)
        groups = self._optimizer.param_groups
        # Numbers would be constants of the recording.
        factors = torch.tensor([*(group["lr"] for group in groups), self.lr_factor_now])
        found = self._graphs[key](cells, factors)
        loss = found.pop("loss")
        self._collect(found, "train")
        return loss.squeeze()

    def _whole_step(self, cells: Tensor, factors: Tensor) -> dict[str, Tensor]:
        optimizer = self._optimizer
        optimizer.zero_grad()
        output = self._forward({"cells": cells})
        *rates, lr_factor = factors.unbind()
        with torch.autocast(cells.device.type, enabled=False):
            output.loss.backward()
            self._update_visited(lr_factor)
            with _rates_on_device(optimizer, rates):
                optimizer.step()
        return {"loss": output.loss.detach()[None], **terms_of(output)}

    @property
    def _optimizer(self) -> Optimizer:
        return self.optimizers().optimizer

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Do nothing, since gradients are computed in :meth:`training_step`."""

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Optimizer) -> None:
        """Do nothing, since gradients are computed in :meth:`training_step`."""

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Any,
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        """Run :meth:`training_step`, which updates the parameters."""
        assert optimizer_closure is not None
        optimizer_closure()


@contextmanager
def _rates_on_device(optimizer: Optimizer, rates: Sequence[Tensor]) -> Iterator[None]:
    """Take the learning rates of the groups from tensors; checkpoints contain numbers."""
    numbers = [group["lr"] for group in optimizer.param_groups]
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group.update(lr=rate, capturable=True)
    try:
        yield
    finally:
        for group, number in zip(optimizer.param_groups, numbers, strict=True):
            group.update(lr=number, capturable=False)
