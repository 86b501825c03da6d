"""Shared helpers of all plots: axes, saving and showing, checks of arguments."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from multiDGD._names import nearest

#: Mean width of a letter in matplotlib's default font and size.
LETTER_INCHES = 0.08


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
        Axes passed by the user.
    n_panels
        Number of axes required.
    size
        Width and height of one panel, in inches.
    what
        Plural noun for the contents of the panels, for the error message.
    max_columns
        Maximal number of panels side by side in a new figure.
    sharex
        Whether panels of a new figure share their x axis.

    Raises
    ------
    TypeError, ValueError
        If ``ax`` is not made of axes, or their number is not ``n_panels``.
    """
    if ax is not None:
        axes = [ax] if isinstance(ax, Axes) else list(ax)
        for given in axes:
            _require_axes(given)
        if len(axes) != n_panels:
            raise ValueError(
                f"`ax` has {len(axes)} axes for {n_panels} {what}: pass one for each."
            )
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
        If ``ax`` is not an axes.
    """
    if ax is None:
        return panels(None, 1, size)[0]
    _require_axes(ax)
    return ax


def upright_height(names: Iterable[object]) -> float:
    """Height in inches of vertical tick labels."""
    return LETTER_INCHES * max((len(str(name)) for name in names), default=0)


def _require_axes(ax: object) -> None:
    if not isinstance(ax, Axes):
        raise TypeError(f"`ax` must be a matplotlib Axes, found {type(ax).__name__}.")


def finish(ax: Axes, show: bool | None, save: str | Path | None) -> None:
    """Save the figure of ``ax`` if ``save`` is given, and display it if ``show`` is true."""
    if save is not None:
        if not Path(save).parent.is_dir():
            raise FileNotFoundError(f"`save`: the folder {Path(save).parent} does not exist.")
        # Only the whole figure can be saved; the parent of ``ax`` may be a subfigure.
        ax.figure.canvas.figure.savefig(save, bbox_inches="tight")
    if show:
        plt.show()


def not_found(argument: str, wanted: object, known: Iterable[object], where: str) -> ValueError:
    """Error for an unknown name, listing the three nearest known names."""
    near = nearest(wanted, known)
    hint = f"Nearest names: {near}." if near else "No names are available."
    return ValueError(f"`{argument}`: {wanted!r} is not in {where}. {hint}")


def require_columns(table: Any, columns: Sequence[str], argument: str, made_by: str) -> None:
    """Check that ``table`` is a table with the given columns and at least one row.

    Raises
    ------
    TypeError, ValueError
        If it is not; the message names the argument, the missing columns and the source of such
        a table.
    """
    if not hasattr(table, "columns"):
        raise TypeError(
            f"`{argument}` must be a table returned by {made_by}, found {type(table).__name__}."
        )
    missing = [c for c in columns if c not in table.columns]
    if missing:
        raise ValueError(
            f"`{argument}` is missing the columns {missing}; found {list(table.columns)}. Pass a "
            f"table returned by {made_by}."
        )
    if not len(table):
        raise ValueError(f"`{argument}` has no rows.")
