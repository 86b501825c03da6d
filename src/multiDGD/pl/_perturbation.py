"""Heat map of in-silico perturbations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from multiDGD._checks import choice, positive_int

from ._figure import finish, not_found, panel, require_columns, upright_height

Value: TypeAlias = Literal["lfc", "z_score"]
_MADE_BY = "`model.perturb(...)`"
_VALUES: dict[Value, str] = {"lfc": "log2 fold change", "z_score": "z-score relative to controls"}
_SINGLE = "all cells"
_PERTURBATION = "perturbation"
# Space between heat map and colour bar, for the names of the modalities.
_NAME_INCHES = 0.4
# Quantile at the ends of the colour map: the perturbed features themselves change most and would
# compress the range of the others.
_SATURATED = 0.98
# Dots on darker colours than this part of the colour map are white.
_DARK = 0.6


def perturbation(
    table: pd.DataFrame | Mapping[str, pd.DataFrame],
    *,
    features: Sequence[str] | None = None,
    n_features: int = 15,
    value: Value = "lfc",
    alpha: float = 0.05,
    cmap: Any = "RdBu_r",
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Plot a heat map of the features (rows) changed by a perturbation, by group (columns).

    Within each modality, rows are ordered from the largest increase to the largest decrease. Dots
    mark changes with a ``p_value`` of at most ``alpha``. The colour map ends at the 98th
    percentile of the absolute values shown.

    Parameters
    ----------
    table
        Table returned by ``model.perturb``; each group of ``groupby`` is a column. Or several
        such tables: concatenated, or by name.
    features
        Features to draw. By default, those with the largest change in any column.
    n_features
        Maximal number of features of each modality, if ``features`` is not given.
    value
        ``"lfc"`` for the log2 fold change, or ``"z_score"`` for the change relative to controls.
    alpha
        Largest p-value of a marked change.
    cmap
        Colour map, centred at no change.
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
        If ``table`` is not such a table, a feature is not in it, or another argument is invalid.

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
    choice("value", value, list(_VALUES))
    positive_int("n_features", n_features)
    tables = table if isinstance(table, Mapping) else _by_perturbation(table)
    long_table = _long(tables, value)
    values = long_table.pivot(index=["modality", "feature"], columns="column", values=value)
    columns = list(pd.unique(long_table["column"]))
    order = list(pd.unique(long_table["modality"]))
    rows = _rows(values[columns], order, features, n_features)
    values = values.loc[rows, columns]
    p_values = long_table.pivot(index=["modality", "feature"], columns="column", values="p_value")
    marked = p_values.loc[rows, columns].to_numpy() <= alpha
    # The label of the colour bar must fit even if there are few rows.
    height = 0.7 + upright_height(columns) + max(0.2 * len(rows), 1.8)
    ax = panel(ax, (3.4 + 0.35 * len(columns), height))
    limit = float(np.nanquantile(np.abs(values.to_numpy()), _SATURATED)) or 1.0
    image = ax.imshow(values, cmap=cmap, vmin=-limit, vmax=limit, aspect="auto")
    y, x = np.nonzero(marked)
    is_dark = np.abs(values.to_numpy()[marked]) > _DARK * limit
    ax.scatter(x, y, s=5, color=np.where(is_dark, "white", "black"), linewidths=0)
    ax.set_xticks(range(len(columns)), [str(c) for c in columns], rotation=90, parse_math=False)
    if not isinstance(table, Mapping) and len(tables) == 1 and _PERTURBATION in table:
        ax.set_title(table[_PERTURBATION].iloc[0], fontsize="medium", parse_math=False)
    if marked.any():
        ax.set_xlabel(f"dot: p ≤ {alpha:g}")
    names = values.index.get_level_values("feature").astype(str)
    ax.set_yticks(range(len(rows)), names, fontsize="small", parse_math=False)
    _separate_modalities(ax, values.index.get_level_values("modality"))
    # The width of the names does not scale with the heat map.
    inches = ax.get_window_extent().width / ax.figure.dpi
    ax.figure.colorbar(
        image, ax=ax, label=_VALUES[value], extend="both", pad=_NAME_INCHES / inches
    )
    finish(ax, show, save)
    return ax


def _by_perturbation(table: pd.DataFrame) -> Mapping[str, pd.DataFrame]:
    """The tables of several perturbations by name; a single one without a name."""
    names = getattr(table, _PERTURBATION, None)
    if names is None or names.nunique() < 2:
        return {"": table}
    return dict(tuple(table.groupby(names, sort=False)))


def _long(tables: Mapping[str, pd.DataFrame], value: str) -> pd.DataFrame:
    """All tables concatenated, with the feature and heat map column of each row."""
    if not tables:
        raise ValueError("`table` is an empty mapping: pass at least one table.")
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
    """Features to draw, by modality and from the largest increase to the largest decrease."""
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
        in_modality = largest.index.get_level_values("modality") == modality
        top = largest[in_modality].nlargest(n_features).index
        kept += mean.loc[top].sort_values(ascending=False, kind="stable").index.tolist()
    return pd.MultiIndex.from_tuples(kept, names=values.index.names)


def _separate_modalities(ax: Axes, modality: pd.Index) -> None:
    """Separate the modalities by a line and write their names on the right."""
    names = np.asarray(modality)
    ends = [*(np.flatnonzero(names[1:] != names[:-1]) + 1), len(names)]
    start = 0
    for end in ends:
        if end < len(names):
            ax.axhline(end - 0.5, color="white", linewidth=3)
        middle = (start + end - 1) / 2
        ax.annotate(
            names[start],
            (1, middle),
            (4, 0),
            xycoords=ax.get_yaxis_transform(),
            textcoords="offset points",
            rotation=90,
            ha="left",
            va="center",
            fontsize="small",
            color="0.2",
            parse_math=False,
        )
        start = end
