"""Peaks along the genome around a gene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from multiDGD._checks import positive_int

from ._figure import finish, panels, require_columns
from ._ranked_peaks import draw_ranked

_MADE_BY = "`model.gene2peak(...)` for features with genomic positions"
_POSITIONS = ["p_value", "chrom", "start", "end", "distance"]
_EFFECTS = ("probability", "association", "change")
# Minimal width of a bar, as a fraction of the window: most peaks would be too narrow to see.
_MIN_WIDTH = 1 / 150


def locus(
    table: pd.DataFrame | Mapping[str, pd.DataFrame],
    gene: str = "gene",
    *,
    window: float | tuple[float, float] | None = 500_000,
    alpha: float = 0.05,
    n_peaks: int = 20,
    ax: Axes | Sequence[Axes] | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes | list[Axes]:
    """Plot the peaks around a gene as bars at their genomic positions.

    The height of a bar is the probability of a link (``method="conditional"``) or the association
    of the peak with the gene. Bars with a p-value of at most ``alpha`` are coloured, the others are
    grey. A line marks the start of the gene. Narrow peaks are widened to a visible width.

    Peaks without genomic positions are drawn as horizontal bars, with their names, from the largest
    to the smallest effect.

    Parameters
    ----------
    table
        Table returned by ``model.gene2peak``, or several such tables by name, for example one
        for each cell type. Several tables are stacked on a common scale.
    gene
        Name of the gene, written at its start.
    window
        Base pairs to draw on each side of the gene's start, or a pair for left and right; `None`
        for all peaks of the chromosome.
    alpha
        Largest p-value of a coloured peak.
    n_peaks
        Number of peaks of a table without positions, those with the largest absolute effect.
    ax
        Axes to draw on, one for each table. A new figure by default.
    show
        Whether to call :func:`matplotlib.pyplot.show`. Off by default, because notebooks display
        new figures themselves.
    save
        File to save the figure to; its extension sets the format.

    Returns
    -------
    The axes drawn on; a list if there are several tables.

    Raises
    ------
    TypeError, ValueError
        If ``table`` is not such a table, some positions are missing, no peak lies in the window,
        the tables are of different genes, ``n_peaks`` is below 1, or ``ax`` does not have one axes
        per table.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame(
    ...     {
    ...         "association": [0.8, 0.1],
    ...         "p_value": [0.01, 0.5],
    ...         "chrom": "chr1",
    ...         "start": [900, 5_000],
    ...         "end": [1_100, 5_200],
    ...         "distance": [-1_000.0, 3_100.0],
    ...     }
    ... )
    >>> len(locus(table, "CD3D").patches)
    2
    """
    tables = table if isinstance(table, Mapping) else {"": table}
    if not tables:
        raise ValueError("`table` is an empty mapping: pass at least one table.")
    positive_int("n_peaks", n_peaks)
    for part in tables.values():
        require_columns(part, ["p_value"], "table", _MADE_BY)
    if not any(column in part for part in tables.values() for column in _POSITIONS[1:]):
        effect = _effect(next(iter(tables.values())))
        return draw_ranked(tables, gene, effect, alpha, n_peaks, ax=ax, show=show, save=save)
    left, right = _sides(window)
    near = {name: _near(part, left, right) for name, part in tables.items()}
    effect = _effect(next(iter(tables.values())))
    gene_starts = {(part["chrom"].iloc[0], _gene_start(part)) for part in near.values()}
    if len(gene_starts) > 1:
        raise ValueError(
            f"`table` must be of a single gene, found gene starts {sorted(gene_starts)}."
        )
    chromosome, start = gene_starts.pop()
    drawn = pd.concat(near.values())
    middle = (drawn["start"] + drawn["end"]) / 2
    x = (
        middle.min() if left is None else start - left,
        middle.max() if right is None else start + right,
    )
    margin = 0.02 * (x[1] - x[0]) or 1_000.0
    limits = max(x[0] - margin, 0) / 1e6, (x[1] + margin) / 1e6
    bottom, top = min(drawn[effect].min(), 0.0), max(drawn[effect].max(), 0.0)
    pad = 0.08 * (top - bottom) or 0.1

    height = 2.6 if len(near) == 1 else 1.3
    axes = panels(ax, len(near), (6.4, height), what="tables", max_columns=1, sharex=True)
    for row, (ax_, (name, part)) in enumerate(zip(axes, near.items(), strict=True)):
        least = _MIN_WIDTH * (limits[1] - limits[0])
        width = np.maximum((part["end"] - part["start"]).to_numpy(float) / 1e6, least)
        at = ((part["start"] + part["end"]) / 2e6).to_numpy(float)
        is_marked = (part["p_value"] <= alpha).to_numpy()
        # Coloured bars are drawn last, on top of the others.
        for which, color in ((~is_marked, "0.75"), (is_marked, "C3")):
            ax_.bar(at[which], part[effect][which], width[which], color=color, linewidth=0)
        ax_.axhline(0, color="0.3", linewidth=0.8)
        ax_.axvline(start / 1e6, color="C0", linewidth=1, linestyle="--", zorder=0)
        ax_.set_xlim(limits)
        ax_.set_ylim(bottom - pad, top + pad)
        ax_.spines[["top", "right"]].set_visible(False)
        ax_.set_ylabel(effect)
        if name:
            ax_.set_title(str(name), fontsize="small", loc="left", parse_math=False)
        if not row:
            ax_.annotate(
                gene,
                (start / 1e6, 1),
                (0, 2),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                ha="center",
                va="bottom",
                color="C0",
                style="italic",
                parse_math=False,
            )
    axes[-1].set_xlabel(f"{chromosome} (Mb); coloured: p ≤ {alpha:g}", parse_math=False)
    finish(axes[0], show, save)
    return axes[0] if len(axes) == 1 else axes


def _sides(window: float | tuple[float, float] | None) -> tuple[float | None, float | None]:
    """Base pairs to draw left and right of the gene."""
    if window is None:
        return None, None
    left, right = window if isinstance(window, tuple) else (window, window)
    if not (left >= 0 and right >= 0 and left + right > 0):
        raise ValueError(f"`window` must be a positive number of base pairs, found {window!r}.")
    return left, right


def _effect(table: pd.DataFrame) -> str:
    for name in _EFFECTS:
        if name in table.columns:
            return name
    raise ValueError(
        f"`table` has none of the columns {list(_EFFECTS)}. Pass a table returned by {_MADE_BY}."
    )


def _near(table: pd.DataFrame, left: float | None, right: float | None) -> pd.DataFrame:
    """Peaks within the window, on the chromosome of the gene."""
    require_columns(table, _POSITIONS, "table", _MADE_BY)
    _effect(table)
    distance = table["distance"]
    is_near = distance.notna()
    if left is not None:
        is_near &= distance >= -left
    if right is not None:
        is_near &= distance <= right
    if not is_near.any():
        closest = distance.abs().min()
        raise ValueError(
            "`window` contains no peak: "
            + (
                "there is none on the gene's chromosome."
                if np.isnan(closest)
                else f"the closest is {closest:,.0f} base pairs from the gene's start."
            )
        )
    return table[is_near]


def _gene_start(table: pd.DataFrame) -> float:
    """Start of the gene, from the middle of a peak and its distance."""
    return float(((table["start"] + table["end"]) / 2 - table["distance"]).iloc[0])
