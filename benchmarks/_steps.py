"""Training steps of scvi-tools models, timed from inside their training."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from io import StringIO
from typing import Any

import numpy as np
import scvi
from _data import BATCH_KEY, Dataset
from _methods import QUIET
from _timing import Seconds
from lightning.pytorch import Callback


class Enough(Exception):
    """Ends a training once its time is taken."""


class BlockTimer(Callback):
    """Seconds of one of ``n_steps`` training steps after ``n_warmup`` others.

    A step is all that happens between the ends of two: loading, moving, forward, backward, update.
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
            raise Enough


class EpochTimer(Callback):
    """Seconds of the first epoch's training steps."""

    epoch: Seconds | None = None

    def on_train_epoch_start(self, *args: Any, **kwargs: Any) -> None:
        self._start = Seconds.now()

    def on_train_epoch_end(self, *args: Any, **kwargs: Any) -> None:
        self.epoch = Seconds.now().since(self._start)
        raise Enough


def train(model: Any, *callbacks: Callback, batch_size: int = 128, **kwargs: Any) -> None:
    """One epoch without validation, or less if a callback has enough."""
    options = {"max_epochs": 1, "early_stopping": False, "limit_val_batches": 0, **QUIET, **kwargs}
    # scvi-tools prints whatever ends a training early
    with suppress(Enough), redirect_stdout(StringIO()):
        model.train(batch_size=batch_size, callbacks=list(callbacks), **options)


def block(model: Any, n_warmup: int, n_steps: int, **kwargs: Any) -> tuple[Seconds, int]:
    """Seconds a step, and the steps of an epoch."""
    timer = BlockTimer(n_warmup, n_steps)
    train(model, timer, **kwargs)
    if timer.per_step is None:
        raise ValueError(f"An epoch has {timer.steps_per_epoch} steps: fewer than asked for.")
    return timer.per_step, timer.steps_per_epoch


def stepper(model: Any, n_warmup: int, n_steps: int, **kwargs: Any) -> Callable[[], Seconds]:
    """Times a block of steps whenever it is called."""
    return lambda: block(model, n_warmup, n_steps, **kwargs)[0]


def epoch(model: Any, **kwargs: Any) -> Seconds:
    """Seconds of the training steps of a whole epoch."""
    timer = EpochTimer()
    train(model, timer, **kwargs)
    assert timer.epoch is not None
    return timer.epoch


def multidgd(data: Dataset, **kwargs: Any) -> Any:
    """MultiDGD with its defaults, not yet trained."""
    from multiDGD import MultiDGD

    scvi.settings.seed = 0
    MultiDGD.setup_mudata(data.data, batch_key=BATCH_KEY)
    return MultiDGD(data.data, **kwargs)


def multivi(data: Dataset) -> Any:
    """MultiVI with its defaults, not yet trained."""
    scvi.settings.seed = 0
    scvi.model.MULTIVI.setup_mudata(
        data.data, batch_key=BATCH_KEY, modalities={"rna_layer": "rna", "atac_layer": "atac"}
    )
    return scvi.model.MULTIVI(data.data)


def totalvi(data: Dataset) -> Any:
    """TotalVI with its defaults, not yet trained; its background prior takes dense proteins."""
    scvi.settings.seed = 0
    data.data.mod["prot"].X = np.asarray(data.counts("prot").toarray())
    scvi.model.TOTALVI.setup_mudata(
        data.data, batch_key=BATCH_KEY, modalities={"rna_layer": "rna", "protein_layer": "prot"}
    )
    return scvi.model.TOTALVI(data.data)
