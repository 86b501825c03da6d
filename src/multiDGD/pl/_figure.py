"""What every plot needs: axes to draw on, a way out to file or screen, and helpful errors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from multiDGD._names import nearest

# Mean width of a letter in matplotlib's default font and size.
_LETTER_INCHES = 0.08


def panels(
    ax: Axes | Sequence[Axes] | None,
    n_panels: int,
    size: tuple[float, float],
    *,
    what: str = "panels",
    max_columns: int = 3,
    sharex: bool = False,
) -> list[Axes]:
    """The given axes, or those of a new figure.

    Parameters
    ----------
    ax
        Axes that the user gave.
    n_panels
        How many are needed.
    size
        Width and height of one, in inches.
    what
        What there is one axes for, in the plural, for the message.
    max_columns
        Panels side by side in a new figure.
    sharex
        Whether panels of a new figure share their x axis.

    Raises
    ------
    TypeError, ValueError
        If what is given are no axes, or another number of them.
    """
    if ax is not None:
        axes = [ax] if isinstance(ax, Axes) else list(ax)
        for given in axes:
            _require_axes(given)
        if len(axes) != n_panels:
            raise ValueError(f"`ax` has {len(axes)} axes for {n_panels} {what}.")
        return axes
    n_columns = min(n_panels, max_columns)
    n_rows = math.ceil(n_panels / n_columns)
    figure, grid = plt.subplots(
        n_rows,
        n_columns,
        figsize=(size[0] * n_columns, size[1] * n_rows),
        squeeze=False,
        sharex=sharex,
        layout="constrained",
    )
    axes = list(grid.ravel())
    for unused in axes[n_panels:]:
        figure.delaxes(unused)
    return axes[:n_panels]


def panel(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """The given axes, or those of a new figure of ``size`` inches.

    Raises
    ------
    TypeError
        If ``ax`` is no axes.
    """
    if ax is None:
        return panels(None, 1, size)[0]
    _require_axes(ax)
    return ax


def upright_height(names: Iterable[object]) -> float:
    """Inches that names take below the axes when they are written upright."""
    return _LETTER_INCHES * max((len(str(name)) for name in names), default=0)


def _require_axes(ax: object) -> None:
    if not isinstance(ax, Axes):
        raise TypeError(f"`ax` must be a matplotlib Axes, found {type(ax).__name__}.")


def finish(ax: Axes, show: bool | None, save: str | Path | None) -> None:
    """Write the figure of ``ax`` to a file and show it, where asked."""
    if save is not None:
        # Of axes in a subfigure it is the figure around them: only that can be written.
        ax.figure.canvas.figure.savefig(save, bbox_inches="tight")
    if show:
        plt.show()


def not_found(argument: str, wanted: object, known: Iterable[object], where: str) -> ValueError:
    """The error for a name that is not there, with the three nearest ones that are."""
    near = nearest(wanted, known)
    there = f"Nearest names: {near}." if near else "There are none."
    return ValueError(f"`{argument}`: {wanted!r} is not in {where}. {there}")


def require_columns(table: Any, columns: Sequence[str], argument: str, made_by: str) -> None:
    """Raise if ``table`` is no table with the given columns.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what is missing and what returns such a table.
    """
    if not hasattr(table, "columns"):
        raise TypeError(
            f"`{argument}` must be a table as {made_by} returns it, found {type(table).__name__}."
        )
    missing = [c for c in columns if c not in table.columns]
    if missing:
        raise ValueError(
            f"`{argument}` lacks the columns {missing}; it has {list(table.columns)}. Such a "
            f"table comes from {made_by}."
        )
    if not len(table):
        raise ValueError(f"`{argument}` has no rows.")
