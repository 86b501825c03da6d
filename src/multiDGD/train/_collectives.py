"""Quantities of a training in one or several processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from lightning.pytorch.strategies import Strategy
from torch import Tensor

from ._pinned_strategy import PinnedStrategy

T = TypeVar("T")


def sum_by_name(strategy: Strategy, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Sum quantities over all processes, some of which may lack some of them.

    Parameters
    ----------
    strategy
        Strategy of the trainer.
    values
        Scalars of this process, by name.
    """
    if not isinstance(strategy, PinnedStrategy):
        return dict(values)
    found = strategy.gather_objects({name: value.item() for name, value in values.items()})
    names = dict.fromkeys(name for part in found for name in part)
    return {
        name: torch.tensor(sum(part.get(name, 0.0) for part in found), device=strategy.root_device)
        for name in names
    }


def check_together(strategy: Strategy, check: Callable[[], None]) -> None:
    """Make a check that raises an error in all processes if it fails in any of them.

    Parameters
    ----------
    strategy
        Strategy of the trainer.
    check
        The check.

    Raises
    ------
    RuntimeError
        If the check raises it in any process.
    """
    if not isinstance(strategy, PinnedStrategy):
        check()
        return
    message = None
    try:
        check()
    except RuntimeError as error:
        message = str(error)
    found = [m for m in strategy.gather_objects(message) if m is not None]
    if found:
        raise RuntimeError(found[0])


def compute_once(strategy: Strategy, compute: Callable[[], T]) -> T:
    """Compute in the first process only, and return the result in all of them.

    Parameters
    ----------
    strategy
        Strategy of the trainer.
    compute
        Function that returns an object that can be pickled.
    """
    return strategy.broadcast(compute() if strategy.is_global_zero else None)  # type: ignore[return-value]


def gather_rows(trainer: Any, *tables: Tensor) -> None:
    """Complete tables, in place, with the rows of the cells of other processes.

    Parameters
    ----------
    trainer
        Trainer with a :class:`multiDGD.train.CellSplitter`.
    *tables
        One row for each cell, shape ``(n, ...)`` each.
    """
    if not isinstance(trainer.strategy, PinnedStrategy):
        return
    is_owned = torch.zeros(len(tables[0]), dtype=torch.bool)
    is_owned[torch.from_numpy(trainer.datamodule.owned_cells)] = True
    for table in tables:
        trainer.strategy.gather_rows(table, is_owned.to(table.device))
