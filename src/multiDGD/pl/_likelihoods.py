"""Comparison of likelihoods on held-out counts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from multiDGD._checks import choice

from ._figure import finish, panels, require_columns

Quantity: TypeAlias = Literal["difference", "detection"]
_MADE_BY = "`MultiDGD.compare_likelihoods(...)`"
_LABELS: dict[Quantity, str] = {
    "difference": "log-likelihood difference from {first}\n(nats per cell, 95 % interval)",
    "detection": "log-likelihood of detection\n(nats per cell, 95 % interval)",
}
_Z = 1.96


def likelihoods(
    table: pd.DataFrame,
    *,
    by: Quantity = "difference",
    ax: Axes | Sequence[Axes] | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes | list[Axes]:
    """Plot a comparison of likelihoods on held-out cells, one panel per modality.

    Points are means over cells with 95 % intervals. Larger values are better.

    Parameters
    ----------
    table
        Table returned by :meth:`multiDGD.MultiDGD.compare_likelihoods`.
    by
        ``"difference"``: log-likelihood of the counts relative to the first likelihood of the
        modality, which is at 0. It is not defined for ``"bernoulli"``, whose row has a note.
        ``"detection"``: log-likelihood of detection (count or no count), defined for all.
    ax
        Axes to draw on, one for each modality. A new figure by default.
    show
        Whether to call :func:`matplotlib.pyplot.show`. Off by default, because notebooks display
        new figures themselves.
    save
        File to save the figure to; its extension sets the format.

    Returns
    -------
    The axes drawn on; a list if there are several modalities.

    Raises
    ------
    TypeError, ValueError
        If ``table`` is not such a table, ``by`` is not an option, or ``ax`` does not have one
        axes per modality.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame(
    ...     {
    ...         "modality": "rna",
    ...         "likelihood": ["nb", "poisson"],
    ...         "difference": [0.0, -8.0],
    ...         "difference_se": [0.0, 1.0],
    ...     }
    ... )
    >>> [label.get_text() for label in likelihoods(table).get_yticklabels()]
    ['nb', 'poisson']
    """
    choice("by", by, list(_LABELS))
    columns = ["modality", "likelihood", by, f"{by}_se"]
    require_columns(table, columns, "table", _MADE_BY)
    groups = dict(tuple(table.groupby("modality", sort=False)))
    most = max(len(rows) for rows in groups.values())
    axes = panels(ax, len(groups), (4.2, 1.5 + 0.4 * most), what="modalities")
    for ax_, (modality, rows) in zip(axes, groups.items(), strict=True):
        _draw(ax_, rows, by)
        ax_.set_title(str(modality), fontsize="medium", parse_math=False)
    finish(axes[0], show, save)
    return axes[0] if len(axes) == 1 else axes


def _draw(ax: Axes, rows: pd.DataFrame, by: Quantity) -> None:
    names = rows["likelihood"].astype(str).tolist()
    value = rows[by].to_numpy(dtype=float)
    se = np.nan_to_num(rows[f"{by}_se"].to_numpy(dtype=float))
    y = np.arange(len(rows))
    if by == "difference":
        ax.axvline(0, color="0.6", linewidth=0.8, zorder=0)
    known = np.isfinite(value)
    ax.errorbar(value[known], y[known], xerr=_Z * se[known], fmt="o", capsize=3)
    for row in y[~known]:
        ax.text(
            0.5,
            row,
            "models detection only",
            transform=ax.get_yaxis_transform(),
            ha="center",
            va="center",
            fontsize="small",
            color="0.5",
        )
    ax.set_yticks(y, names)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xlabel(_LABELS[by].format(first=names[0]))
