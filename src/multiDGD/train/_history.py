"""History of a training as plain values, for its checkpoints."""

from __future__ import annotations

from typing import Any

import pandas as pd

# Index, name of the index, and values of the table of each quantity.
PlainHistory = dict[str, tuple[list[int], str | None, list[float]]]


def plain_history(logger: Any) -> PlainHistory:
    """Tables of a logger as lists; empty if the logger keeps no history.

    Parameters
    ----------
    logger
        Logger of the trainer, such as :class:`scvi.train._logger.SimpleLogger`.
    """
    return {
        name: (
            [int(i) for i in table.index],
            table.index.name,
            [float(x) for x in table.iloc[:, 0]],
        )
        for name, table in (_tables(logger) or {}).items()
    }


def restore_history(logger: Any, history: PlainHistory) -> None:
    """Add the tables of a former training to a logger that keeps a history.

    Parameters
    ----------
    logger
        Logger of the trainer.
    history
        Result of :func:`plain_history`.
    """
    tables = _tables(logger)
    if tables is None:
        return
    for name, (index, index_name, values) in history.items():
        table = pd.DataFrame({name: values}, index=pd.Index(index, name=index_name))
        tables[name] = table.astype(object)


def _tables(logger: Any) -> dict[str, pd.DataFrame] | None:
    """Tables of a logger; `None` if it keeps none, as in all processes but the first."""
    tables = getattr(logger, "history", None)
    return tables if isinstance(tables, dict) else None
