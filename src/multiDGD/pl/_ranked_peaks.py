"""Peaks without genomic positions, ranked by their effect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ._figure import LETTER_INCHES, finish, panels


def draw_ranked(
    tables: Mapping[str, pd.DataFrame],
    gene: str,
    effect: str,
    alpha: float,
    n_peaks: int,
    *,
    ax: Axes | Sequence[Axes] | None,
    show: bool | None,
    save: str | Path | None,
) -> Axes | list[Axes]:
    """Draw the peaks with the largest effects as horizontal bars, one panel per table.

    Parameters
    ----------
    tables
        Tables by name, with the columns ``effect`` and ``p_value``, indexed by peak.
    gene
        Name of the gene, for the titles.
    effect
        Column with the lengths of the bars.
    alpha
        Largest p-value of a coloured peak.
    n_peaks
        Number of peaks of each panel.
    ax, show, save
        As for :func:`multiDGD.pl.locus`.

    Returns
    -------
    The axes drawn on; a list if there are several tables.
    """
    tops = {}
    for name, table in tables.items():
        largest = table[effect].abs().nlargest(n_peaks).index
        tops[name] = table.loc[largest].sort_values(effect, ascending=False)
    longest = max(len(str(peak)) for top in tops.values() for peak in top.index)
    size = (3.2 + LETTER_INCHES * longest, 1.2 + 0.2 * max(map(len, tops.values())))
    axes = panels(ax, len(tops), size, what="tables")
    for ax_, (name, top) in zip(axes, tops.items(), strict=True):
        y = np.arange(len(top))
        is_marked = (top["p_value"] <= alpha).to_numpy()
        ax_.barh(y, top[effect], color=np.where(is_marked, "C3", "0.75"))
        ax_.axvline(0, color="0.3", linewidth=0.8)
        ax_.set_yticks(y, top.index.astype(str), fontsize="small", parse_math=False)
        ax_.set_ylim(len(top) - 0.5, -0.5)
        ax_.spines[["top", "right"]].set_visible(False)
        ax_.set_xlabel(f"{effect}; coloured: p ≤ {alpha:g}")
        title = f"{gene}, {name}" if name else gene
        ax_.set_title(title, fontsize="medium", parse_math=False)
    finish(axes[0], show, save)
    return axes[0] if len(axes) == 1 else axes
