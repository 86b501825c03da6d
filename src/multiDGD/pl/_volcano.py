"""Volcano plot of differential expression or accessibility."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from multiDGD._checks import integer

from ._annotate import annotate_points
from ._figure import finish, not_found, panel, require_columns

# Columns with the size of an effect, the first that exists.
_EFFECTS = ("information", "lfc_bound")
# Symbol of each modality.
_SYMBOLS, _AREAS = "o^sD", (10, 22, 16, 14)
_MADE_BY = "`model.differential_expression(mode='change')`"
# Prefixes of the column of called features; the FDR target may follow.
_CRITERIA = ("is_de_fdr", "is_da_fdr")


def volcano(
    table: pd.DataFrame,
    comparison: str | None = None,
    *,
    n_labels: int = 20,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Plot log2 fold changes against the local false discovery rate.

    The height is the negative log10 of the local false discovery rate. Where the rate is rounded to
    0, the height follows from the Bayes factor; without one, it is that of the smallest positive
    rate. Features called differential are coloured by the direction of their change, and each
    modality of a table of several has its own symbol. On each side, the features with the largest
    effect are labelled: by ``information`` or ``lfc_bound`` if the table has one of them, otherwise
    by the local false discovery rate. Features with a missing fold change or rate (NaN) are left
    out.

    Parameters
    ----------
    table
        Table returned by ``model.differential_expression`` or
        ``model.differential_accessibility`` in mode ``"change"``. Tables of other scvi-tools
        models also work: without a column ``lfdr``, one minus ``proba_de`` is used.
    comparison
        Value of the column ``comparison`` to draw; optional if there is only one.
    n_labels
        Maximal number of labelled features, half of them on each side if there are enough.
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
    height = _height(table, lfdr)
    criterion = next((c for c in table.columns if str(c).startswith(_CRITERIA)), None)
    is_de = np.zeros(len(table), bool)
    if criterion is not None:
        is_de = table[criterion].to_numpy(dtype=bool)
    ax = panel(ax, (7.0, 5.0))
    kinds = (
        (~is_de, "lightgrey", "not differential"),
        (is_de & (lfc < 0), "C0", "lower"),
        (is_de & (lfc >= 0), "C3", "higher"),
    )
    modality = np.zeros(len(table), dtype=int)
    modalities: list[str] = []
    if "modality" in table:
        modality, found = pd.factorize(table["modality"].astype(str))
        modalities = list(found) if len(found) > 1 else []
    for which, color, name in kinds:
        for i in range(max(len(modalities), 1)):
            at = which & (modality == i) if modalities else which
            ax.scatter(
                lfc[at],
                height[at],
                s=_AREAS[i % len(_AREAS)],
                color=color,
                marker=_SYMBOLS[i % len(_SYMBOLS)],
                linewidths=0,
                rasterized=True,
                label=f"{name} ({which.sum():,})" if i == 0 else None,
            )
    for i, name in enumerate(modalities):
        symbol, area = _SYMBOLS[i % len(_SYMBOLS)], _AREAS[i % len(_AREAS)]
        ax.scatter([], [], s=area, color="0.4", marker=symbol, linewidths=0, label=name)
    ax.set_xlabel("log2 fold change")
    ax.set_ylabel("$-\\log_{10}$ local false discovery rate")
    if "comparison" in table.columns:
        ax.set_title(str(table["comparison"].iloc[0]), fontsize="medium", parse_math=False)
    # The labels of the largest changes need space.
    width = 1.25 * max(np.abs(lfc).max(), 1e-3)
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
    by = next((column for column in _EFFECTS if column in table), None)
    effect = height if by is None else table[by].abs().to_numpy(float)
    top_features = _first_of_both_sides(
        np.lexsort([-np.abs(lfc), -height, -effect]), is_de, lfc >= 0, n_labels
    )
    points = np.stack([lfc, height], axis=1)
    names = table.index[top_features].astype(str)
    x, y = points[top_features].T
    ax.plot(x, y, "o", color="0.2", markersize=5.5, markeredgewidth=0.6, fillstyle="none")
    annotate_points(ax, points[top_features], names, avoid=points[is_de])
    finish(ax, show, save)
    return ax


def _height(table: pd.DataFrame, lfdr: np.ndarray) -> np.ndarray:
    """Negative log10 of the rates, finite for rates of 0."""
    is_zero = lfdr == 0
    height = -np.log10(np.where(is_zero, 1.0, lfdr))
    if is_zero.any():
        height[is_zero] = height.max()
        # Tables of other models have Bayes factors of probabilities that were already rounded.
        if {"lfdr", "bayes_factor"} <= set(table.columns):
            log_odds = table["bayes_factor"].to_numpy(dtype=float)[is_zero] / np.log(10)
            height[is_zero] = np.fmax(height[is_zero], log_odds)
    return height


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
