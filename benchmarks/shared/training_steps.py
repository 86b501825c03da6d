"""Time of training steps of scvi-tools models, taken by callbacks during training."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from io import StringIO
from typing import Any

import numpy as np
import scvi
from lightning.pytorch import Callback

from benchmarks.shared.data import BATCH_KEY, Dataset
from benchmarks.shared.settings import QUIET
from benchmarks.shared.timing import Seconds


class StopTraining(Exception):
    """Raised by a callback to end the training."""


class BlockTimer(Callback):
    """Mean time of ``n_steps`` training steps after ``n_warmup`` steps that are not timed.

    A step lasts from the end of one to the end of the next: loading, transfer to the device,
    forward pass, backward pass and update.
    """

    def __init__(self, n_warmup: int, n_steps: int) -> None:
        self.n_warmup, self.n_steps = n_warmup, n_steps
        self.per_step: Seconds | None = None
        self.steps_per_epoch = 0

    def on_train_batch_end(
        self, trainer: Any, plan: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.steps_per_epoch = int(trainer.num_training_batches)
        done = batch_idx + 1
        if done == self.n_warmup:
            self._start = Seconds.now()
        elif done == self.n_warmup + self.n_steps:
            self.per_step = Seconds.now().since(self._start).times(1 / self.n_steps)
            raise StopTraining


class EpochTimer(Callback):
    """Time of the training steps of the first epoch."""

    epoch: Seconds | None = None

    def on_train_epoch_start(self, *args: Any, **kwargs: Any) -> None:
        self._start = Seconds.now()

    def on_train_epoch_end(self, *args: Any, **kwargs: Any) -> None:
        self.epoch = Seconds.now().since(self._start)
        raise StopTraining


def train(model: Any, *callbacks: Callback, batch_size: int = 128, **kwargs: Any) -> None:
    """Train one epoch without validation, or until a callback raises :class:`StopTraining`."""
    options = {"max_epochs": 1, "early_stopping": False, "limit_val_batches": 0, **QUIET, **kwargs}
    # scvi-tools prints exceptions that end a training early.
    with suppress(StopTraining), redirect_stdout(StringIO()):
        model.train(batch_size=batch_size, callbacks=list(callbacks), **options)


def block(model: Any, n_warmup: int, n_steps: int, **kwargs: Any) -> tuple[Seconds, int]:
    """Time per step, and the number of steps per epoch."""
    timer = BlockTimer(n_warmup, n_steps)
    train(model, timer, **kwargs)
    if timer.per_step is None:
        needed = n_warmup + n_steps
        raise ValueError(f"an epoch has {timer.steps_per_epoch} steps, expected at least {needed}")
    return timer.per_step, timer.steps_per_epoch


def stepper(model: Any, n_warmup: int, n_steps: int, **kwargs: Any) -> Callable[[], Seconds]:
    """Function that times a block of steps at each call."""
    return lambda: block(model, n_warmup, n_steps, **kwargs)[0]


def epoch(model: Any, **kwargs: Any) -> Seconds:
    """Time of the training steps of one epoch."""
    timer = EpochTimer()
    train(model, timer, **kwargs)
    assert timer.epoch is not None
    return timer.epoch


def multidgd(data: Dataset, **kwargs: Any) -> Any:
    """Untrained MultiDGD with its defaults."""
    from multiDGD import MultiDGD

    scvi.settings.seed = 0
    MultiDGD.setup_mudata(data.data, batch_key=BATCH_KEY)
    return MultiDGD(data.data, **kwargs)


def multivi(data: Dataset) -> Any:
    """Untrained MultiVI with its defaults."""
    scvi.settings.seed = 0
    scvi.model.MULTIVI.setup_mudata(
        data.data, batch_key=BATCH_KEY, modalities={"rna_layer": "rna", "atac_layer": "atac"}
    )
    return scvi.model.MULTIVI(data.data)


def totalvi(data: Dataset) -> Any:
    """Untrained TotalVI with its defaults; its background prior requires dense proteins."""
    scvi.settings.seed = 0
    data.data.mod["prot"].X = np.asarray(data.counts("prot").toarray())
    scvi.model.TOTALVI.setup_mudata(
        data.data, batch_key=BATCH_KEY, modalities={"rna_layer": "rna", "protein_layer": "prot"}
    )
    return scvi.model.TOTALVI(data.data)
