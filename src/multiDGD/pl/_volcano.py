"""Volcano plot of differential expression or accessibility."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from multiDGD._checks import integer

from ._annotate import annotate_points
from ._figure import finish, not_found, panel, require_columns

_MADE_BY = "`model.differential_expression(mode='change')`"
# Prefixes of the column of called features; the FDR target may follow.
_CRITERIA = ("is_de_fdr", "is_da_fdr")


def volcano(
    table: pd.DataFrame,
    comparison: str | None = None,
    *,
    n_labels: int = 10,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Plot log2 fold changes against the local false discovery rate.

    The height is the negative log10 of the local false discovery rate. Rates of 0 are drawn at the
    smallest positive rate. Features called differential are coloured by the direction of their
    change. On each side, those with the largest effect are labelled: by ``lfc_bound`` if the table
    has it, otherwise by the local false discovery rate. Features with a missing fold change or rate
    (NaN) are left out.

    Parameters
    ----------
    table
        Table returned by ``model.differential_expression`` or
        ``model.differential_accessibility`` in mode ``"change"``. Tables of other scvi-tools
        models also work: without a column ``lfdr``, one minus ``proba_de`` is used.
    comparison
        Value of the column ``comparison`` to draw; optional if there is only one.
    n_labels
        Maximal number of labelled features.
    ax
        Axes to draw on. A new figure by default.
    show
        Whether to call :func:`matplotlib.pyplot.show`. Off by default, because notebooks display
        new figures themselves.
    save
        File to save the figure to; its extension sets the format.

    Returns
    -------
    The axes drawn on.

    Raises
    ------
    TypeError, ValueError
        If ``table`` is not such a table or has no feature with finite values, or if there are
        several comparisons and ``comparison`` is not one of them.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame(
    ...     {"lfc_mean": [2.0, 0.1], "lfdr": [0.001, 0.8], "is_de_fdr_0.05": [True, False]},
    ...     index=["CD3D", "ACTB"],
    ... )
    >>> [text.get_text() for text in volcano(table).texts]
    ['CD3D']
    """
    require_columns(table, ["lfc_mean"], "table", _MADE_BY)
    if "lfdr" not in table.columns:
        require_columns(table, ["proba_de"], "table", _MADE_BY)
    integer("n_labels", n_labels)
    table = _one_comparison(table, comparison)
    lfc = table["lfc_mean"].to_numpy(dtype=float)
    lfdr = (table["lfdr"] if "lfdr" in table.columns else 1 - table["proba_de"]).to_numpy(float)
    known = np.isfinite(lfc) & np.isfinite(lfdr)
    if not known.any():
        raise ValueError(
            f"`table` has {len(table)} features, none with a finite fold change and probability."
        )
    table, lfc, lfdr = table[known], lfc[known], lfdr[known]
    positive = lfdr[lfdr > 0]
    height = -np.log10(np.maximum(lfdr, positive.min() if len(positive) else 1.0))
    criterion = next((c for c in table.columns if str(c).startswith(_CRITERIA)), None)
    is_de = np.zeros(len(table), bool)
    if criterion is not None:
        is_de = table[criterion].to_numpy(dtype=bool)
    ax = panel(ax, (6.4, 4.2))
    kinds = (
        (~is_de, "lightgrey", "not differential"),
        (is_de & (lfc < 0), "C0", "lower"),
        (is_de & (lfc >= 0), "C3", "higher"),
    )
    for which, color, name in kinds:
        ax.scatter(
            lfc[which],
            height[which],
            s=10,
            color=color,
            linewidths=0,
            rasterized=True,
            label=f"{name} ({which.sum():,})",
        )
    ax.set_xlabel("log2 fold change")
    ax.set_ylabel("$-\\log_{10}$ local false discovery rate")
    if "comparison" in table.columns:
        ax.set_title(str(table["comparison"].iloc[0]), fontsize="medium", parse_math=False)
    width = 1.15 * max(np.abs(lfc).max(), 1e-3)
    ax.set_xlim(-width, width)
    top = max(height.max(), 1e-3)
    ax.set_ylim(-0.03 * top, 1.12 * top)
    target = str(criterion).rpartition("fdr")[2].removeprefix("_") if criterion else ""
    title = f"FDR {target}" if target else ""
    ax.legend(
        frameon=False,
        fontsize="small",
        markerscale=2,
        title=title,
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
    )
    effect = table["lfc_bound"].abs().to_numpy(float) if "lfc_bound" in table else height
    top_features = _first_of_both_sides(
        np.lexsort([-np.abs(lfc), -height, -effect]), is_de, lfc >= 0, n_labels
    )
    points = np.stack([lfc, height], axis=1)
    names = table.index[top_features].astype(str)
    annotate_points(ax, points[top_features], names, avoid=points[is_de])
    finish(ax, show, save)
    return ax


def _first_of_both_sides(
    order: np.ndarray, is_de: np.ndarray, is_higher: np.ndarray, n: int
) -> np.ndarray:
    """First n called features in an order, half of them on each side where there are enough."""
    sides = [order[(is_de & side)[order]] for side in (is_higher, ~is_higher)]
    n_lower = min(n // 2, len(sides[1]))
    n_higher = min(n - n_lower, len(sides[0]))
    return np.concatenate([sides[0][:n_higher], sides[1][: n - n_higher]])


def _one_comparison(table: pd.DataFrame, comparison: str | None) -> pd.DataFrame:
    if "comparison" not in table.columns:
        if comparison is not None:
            raise ValueError("`comparison` was given, but `table` has no column 'comparison'.")
        return table
    known = list(pd.unique(table["comparison"]))
    if comparison is None and len(known) == 1:
        return table
    if comparison is None:
        raise ValueError(
            f"`comparison` is required: choose one of {len(known)}, such as {known[:5]}."
        )
    if comparison not in known:
        raise not_found("comparison", comparison, known, "the column 'comparison' of `table`")
    return table[table["comparison"] == comparison]
