"""What changes when features are perturbed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from multiDGD._checks import positive_int

from ._figure import finish, not_found, panel, require_columns, upright_height

_MADE_BY = "`model.perturb(...)`"
_VALUES = {"lfc": "log2 fold change", "z_score": "z-score against controls"}
_SINGLE = "all cells"
# The perturbed features themselves change more than all others and would leave these pale.
_SATURATED = 0.98
# Beyond this part of the colour map dots are white.
_DARK = 0.6


def perturbation(
    table: pd.DataFrame | Mapping[str, pd.DataFrame],
    *,
    features: Sequence[str] | None = None,
    n_features: int = 15,
    value: Literal["lfc", "z_score"] = "lfc",
    alpha: float = 0.05,
    cmap: Any = "RdBu_r",
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Heat map of the features (rows) that a perturbation changes, by group of cells (columns).

    Within each modality rows are ordered from the largest rise to the largest fall. A dot marks
    changes whose ``p_value`` is at most ``alpha``. The colour map ends at the 98th percentile of
    the absolute values that are drawn.

    Parameters
    ----------
    table
        As ``model.perturb`` returns it; with ``groupby`` each group is a column. Or several such
        tables by name, for example one for each perturbed gene.
    features
        Features to draw. By default those that change most in any column.
    n_features
        How many of each modality these are at most.
    value
        ``"lfc"``, the change itself, or ``"z_score"``, the change against that by controls.
    alpha
        Largest p-value that is marked.
    cmap
        Colour map; its middle is no change.
    ax
        Axes to draw on. A new figure by default.
    show
        Whether to call :func:`matplotlib.pyplot.show`. Not by default: notebooks show a new
        figure by themselves.
    save
        File to write the figure to; its ending gives the format.

    Returns
    -------
    The axes drawn on.

    Raises
    ------
    TypeError, ValueError
        If ``table`` is no such table, a feature is not in it, or an argument cannot be used.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame(
    ...     {
    ...         "modality": "rna",
    ...         "lfc": [-1.0, 0.2],
    ...         "z_score": [-9.0, 1.0],
    ...         "p_value": [0.01, 0.6],
    ...     },
    ...     index=["CD3D", "ACTB"],
    ... )
    >>> [label.get_text() for label in perturbation(table).get_yticklabels()]
    ['ACTB', 'CD3D']
    """
    if value not in _VALUES:
        raise ValueError(f"`value` must be one of {list(_VALUES)}, found {value!r}.")
    positive_int("n_features", n_features)
    tall = _tall(table, value)
    values = tall.pivot(index=["modality", "feature"], columns="column", values=value)
    columns = list(pd.unique(tall["column"]))
    order = list(pd.unique(tall["modality"]))
    rows = _rows(values[columns], order, features, n_features)
    values = values.loc[rows, columns]
    p_values = tall.pivot(index=["modality", "feature"], columns="column", values="p_value")
    marked = p_values.loc[rows, columns].to_numpy() <= alpha
    # However few the rows are, the label of the colour bar has to fit beside them.
    height = 0.7 + upright_height(columns) + max(0.2 * len(rows), 1.8)
    ax = panel(ax, (3.4 + 0.35 * len(columns), height))
    limit = float(np.nanquantile(np.abs(values.to_numpy()), _SATURATED)) or 1.0
    image = ax.imshow(values, cmap=cmap, vmin=-limit, vmax=limit, aspect="auto")
    y, x = np.nonzero(marked)
    is_dark = np.abs(values.to_numpy()[marked]) > _DARK * limit
    ax.scatter(x, y, s=5, color=np.where(is_dark, "white", "black"), linewidths=0)
    ax.set_xticks(range(len(columns)), [str(c) for c in columns], rotation=90, parse_math=False)
    if marked.any():
        ax.set_xlabel(f"dot: p ≤ {alpha:g}")
    names = values.index.get_level_values("feature").astype(str)
    ax.set_yticks(range(len(rows)), names, fontsize="small", parse_math=False)
    _bracket_modalities(ax, values.index.get_level_values("modality"), len(columns))
    ax.figure.colorbar(image, ax=ax, label=_VALUES[value], extend="both")
    finish(ax, show, save)
    return ax


def _tall(table: pd.DataFrame | Mapping[str, pd.DataFrame], value: str) -> pd.DataFrame:
    """All tables below each other, each row with its feature and the column it is drawn in."""
    tables = table if isinstance(table, Mapping) else {"": table}
    if not tables:
        raise ValueError("`table` holds no table.")
    parts = []
    for name, part in tables.items():
        require_columns(part, ["modality", value, "p_value"], "table", _MADE_BY)
        group = part["group"].astype(str) if "group" in part.columns else None
        if group is None:
            column: Any = str(name) or _SINGLE
        else:
            column = (f"{name}, " + group if name else group).to_numpy()
        parts.append(
            pd.DataFrame(
                {
                    "modality": part["modality"].astype(str).to_numpy(),
                    "feature": part.index.astype(str),
                    "column": column,
                    value: part[value].to_numpy(dtype=float),
                    "p_value": part["p_value"].to_numpy(dtype=float),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def _rows(
    values: pd.DataFrame, modalities: list[str], wanted: Sequence[str] | None, n_features: int
) -> pd.MultiIndex:
    """Features to draw, by modality and from the largest rise to the largest fall."""
    names = values.index.get_level_values("feature")
    if wanted is not None:
        wanted = [wanted] if isinstance(wanted, str) else [str(w) for w in wanted]
        for feature in wanted:
            if feature not in names:
                raise not_found("features", feature, names, "`table`")
        values = values[names.isin(wanted)]
        if not len(values):
            raise ValueError("`features` must name at least one feature, found none.")
        n_features = len(values)
    mean, largest = values.mean(axis=1), values.abs().max(axis=1)
    kept = []
    for modality in modalities:
        of = largest.index.get_level_values("modality") == modality
        top = largest[of].nlargest(n_features).index
        kept += mean.loc[top].sort_values(ascending=False, kind="stable").index.tolist()
    return pd.MultiIndex.from_tuples(kept, names=values.index.names)


def _bracket_modalities(ax: Axes, modality: pd.Index, n_columns: int) -> None:
    """Part the modalities by a line, and write their names on the right."""
    names = np.asarray(modality)
    ends = [*(np.flatnonzero(names[1:] != names[:-1]) + 1), len(names)]
    start = 0
    for end in ends:
        if end < len(names):
            ax.axhline(end - 0.5, color="white", linewidth=3)
        middle = (start + end - 1) / 2
        ax.text(
            n_columns - 0.35,
            middle,
            names[start],
            rotation=90,
            ha="left",
            va="center",
            fontsize="small",
            color="0.2",
            parse_math=False,
        )
        start = end
