"""Checks and defaults of arguments of ``train``."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import lightning.pytorch
import numpy as np
import pandas as pd
import scvi.train

from multiDGD._checks import positive, positive_int
from multiDGD._log import logger
from multiDGD._names import nearest
from multiDGD.train import MultiDGDTrainingPlan, monitored_names

_LARGE_INCREASE = 0.1


def monitored(
    plan: MultiDGDTrainingPlan, chosen: str | None, has_callbacks: bool
) -> dict[str, str]:
    """Quantity that determines early stopping, and the direction of its improvement.

    Parameters
    ----------
    plan
        The training plan.
    chosen
        Argument ``early_stopping_monitor``.
    has_callbacks
        Whether the user's callbacks may log further quantities.

    Raises
    ------
    ValueError
        If the quantity is not logged.
    """
    is_split = plan.split_validation_counts
    monitor = chosen or ("count_split_validation" if is_split else "validation_loss")
    is_score = monitor.startswith("count_split")
    if is_score and not is_split:
        raise ValueError(
            f"`early_stopping_monitor`: {monitor!r} is not computed by default. Pass "
            '`plan_kwargs={"split_validation_counts": True}` too.'
        )
    known = monitored_names(plan.module)
    if not (is_score or has_callbacks or monitor in known):
        raise ValueError(
            f"`early_stopping_monitor`: {monitor!r} is not logged. Nearest: "
            f"{nearest(monitor, known)}, of {list(known)}."
        )
    return {
        "early_stopping_monitor": monitor,
        "early_stopping_mode": "max" if is_score else "min",
    }


def check_values(
    *, early_stopping: Any, plan_kwargs: Any, lr: Any, early_stopping_patience: Any
) -> None:
    """Check values of arguments of ``train``.

    Parameters
    ----------
    early_stopping, plan_kwargs, lr, early_stopping_patience
        The arguments; `None` for the last three if they are not given.

    Raises
    ------
    ValueError
        If one of them has another type or is out of range.
    """
    if not isinstance(early_stopping, bool | np.bool_):
        raise ValueError(f"`early_stopping` must be True or False, found {early_stopping!r}.")
    if plan_kwargs is not None and not isinstance(plan_kwargs, Mapping):
        raise ValueError(
            '`plan_kwargs` must be a dictionary, such as {"lr_representation": 0.01}, found '
            f"{plan_kwargs!r}."
        )
    if lr is not None:
        positive("lr", lr)
    if early_stopping_patience is not None:
        positive_int("early_stopping_patience", early_stopping_patience)


def check_trainer_arguments(given: Iterable[str], named: Iterable[str]) -> None:
    """Check the names of further arguments of ``train``.

    Parameters
    ----------
    given
        Names of the further arguments.
    named
        Names of the other arguments of ``train``.

    Raises
    ------
    TypeError
        If neither trainer has such an argument. The message contains the nearest names.
    """
    if "use_gpu" in given:
        raise TypeError("train() has no argument `use_gpu`: pass `accelerator` and `devices`.")
    trainers = (scvi.train.Trainer, lightning.pytorch.Trainer)
    names = [name for trainer in trainers for name in inspect.signature(trainer).parameters]
    for name in given:
        # Checked where it is refused or read.
        if name not in names and name != "ckpt_path":
            raise TypeError(
                f"train() has no argument `{name}`. Nearest: {nearest(name, [*named, *names])}."
            )


def check_precision(precision: str) -> None:
    """Check the numerical precision of a training.

    Parameters
    ----------
    precision
        As for :class:`lightning.pytorch.Trainer`.

    Raises
    ------
    ValueError
        If 16 bits would represent derivatives of counts.
    """
    if precision.startswith("16") or precision == "bf16-true":
        raise ValueError(
            f"`precision` must be '32-true' or 'bf16-mixed', found {precision!r}: 16 bits cannot "
            "represent the derivatives of large counts."
        )


def warn_of_increase(history: Mapping[str, pd.DataFrame]) -> None:
    """Log a warning if the training loss increased by more than a tenth.

    Parameters
    ----------
    history
        Losses of a training.
    """
    table = history.get("train_loss")
    losses = [] if table is None else table.iloc[:, 0].to_numpy(dtype=float)
    if len(losses) > 1 and losses[-1] > losses[0] + _LARGE_INCREASE * abs(losses[0]):
        logger.warning(
            "The training loss increased from %.5g to %.5g. Create a new model, because training "
            "continues from the present state, and pass a smaller `lr`.",
            losses[0],
            losses[-1],
        )


def default_max_epochs(n_cells: int) -> int:
    """Number of epochs for about 1,500 steps of 128 cells, between 15 and 60.

    Parameters
    ----------
    n_cells
        Number of training cells.
    """
    return int(np.clip(round(1500 * 128 / n_cells), 15, 60))
