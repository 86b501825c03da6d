"""Scatter plots of cells, coloured by a column of ``obs`` as in scanpy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.colors import is_color_like
from mudata import MuData
from scanpy.plotting import palettes

from multiDGD._names import own_columns

from ._figure import not_found

#: Colour of cells without a value.
GREY = "lightgrey"
# Quantiles at the ends of the colour map: outliers would leave all other values one colour.
_COLOR_RANGE = (0.01, 0.99)
# Longer legends have at least two columns, and at first no more rows than fit beside the axes.
_SHORT_LEGEND = 14
_MAX_LEGEND_ROWS = 20
_MAX_LEGEND_COLUMNS = 4
# In inches.
_LEGEND_ROW, _LEGEND_TITLE, _HEIGHT = 0.19, 0.6, 4.2


def obs_column(data: AnnData | MuData | None, key: str, argument: str) -> pd.Series:
    """Column of ``obs``.

    Raises
    ------
    ValueError
        If ``data`` is `None` or has no such column; the message lists the nearest names.
    """
    if data is None:
        raise ValueError(
            f"`{argument}` = {key!r} needs cells, but the model was loaded without data: pass "
            "`adata`."
        )
    if key not in data.obs:
        raise not_found(argument, key, own_columns(data.obs), "`adata.obs`")
    return data.obs[key]


def as_categories(values: pd.Series) -> pd.Series:
    """Categorical values with string names."""
    column = values if isinstance(values.dtype, pd.CategoricalDtype) else values.astype("category")
    return column.cat.rename_categories([str(c) for c in column.cat.categories])


def palette(data: AnnData | MuData | None, key: str, categories: pd.Index) -> dict[str, Any]:
    """Colour of each category: ``uns[f"{key}_colors"]`` if set, scanpy's defaults otherwise.

    Parameters
    ----------
    data
        Data with the colours in ``uns``; for MuData also in that of its modalities.
    key
        Column of ``obs``; ``"rna:batch"`` for the column ``batch`` of a modality.
    categories
        Categories, in the order of the colours.
    """
    given = given_colors(data, key)
    if len(given) < len(categories):
        given = default_colors(len(categories))
    return dict(zip(map(str, categories), given, strict=False))


def default_colors(n: int) -> list[str]:
    """Scanpy's default colours for ``n`` categories.

    From 21 categories on, these are the 102 colours that scanpy has for more than 28: many of its
    28 colours are too pale and too similar to be told apart.
    """
    colors = palettes.default_20 if n <= len(palettes.default_20) else palettes.default_102
    return [colors[i % len(colors)] for i in range(n)]


def given_colors(data: AnnData | MuData | None, key: str) -> list[Any]:
    """Colours in ``uns[f"{key}_colors"]``, as scanpy writes them; empty if there are none.

    Parameters
    ----------
    data, key
        As for :func:`palette`.
    """
    if data is None:
        return []
    candidates = [(data.uns, key)]
    if isinstance(data, MuData):
        candidates += [(part.uns, key.removeprefix(f"{m}:")) for m, part in data.mod.items()]
    for uns, name in candidates:
        colors = list(uns.get(f"{name}_colors", ()))
        if colors and all(is_color_like(c) for c in colors):
            return colors
    return []


@dataclass(frozen=True)
class Coloring:
    """Colours of cells: by category, by number, or a single colour.

    Attributes
    ----------
    title
        Title of the legend or colour bar.
    values
        Value of each cell.
    colors
        Colour of each category by name; `None` for numbers.
    """

    title: str = ""
    values: pd.Series | None = None
    colors: dict[str, Any] | None = None

    @classmethod
    def by(
        cls,
        values: pd.Series,
        key: str,
        data: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
    ) -> Coloring:
        """Colour numbers by a colour map and all other values by category.

        Parameters
        ----------
        values
            Values of all cells.
        key
            Name of the values.
        data
            Data whose ``uns`` may contain the colours of the categories.
        indices
            Positions or mask of the cells to draw.
        """
        at = slice(None) if indices is None else np.asarray(indices)
        if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
            return cls(key, values.iloc[at])
        values = as_categories(values)
        return cls(key, values.iloc[at], palette(data, key, values.cat.categories))

    @property
    def present(self) -> list[str]:
        """Categories with at least one cell."""
        if self.values is None or self.colors is None:
            return []
        counts = self.values.value_counts()
        return [c for c in self.colors if counts.get(c, 0)]

    @property
    def n_legend_columns(self) -> int:
        """Number of legend columns."""
        n = len(self.present)
        if n <= _SHORT_LEGEND:
            return int(n > 0)
        return min(max(2, math.ceil(n / _MAX_LEGEND_ROWS)), _MAX_LEGEND_COLUMNS)

    @property
    def legend_height(self) -> float:
        """Height of the legend in inches."""
        # Missing values may have an entry too.
        n_rows = math.ceil((len(self.present) + 1) / max(self.n_legend_columns, 1))
        return _LEGEND_TITLE + _LEGEND_ROW * n_rows

    @property
    def figure_size(self) -> tuple[float, float]:
        """Size in inches of a figure with room for the legend."""
        longest = max((len(name) for name in self.present), default=0)
        width = 4.6 + (0.4 + 0.075 * longest) * self.n_legend_columns
        return width, max(_HEIGHT, self.legend_height)


def draw_cells(
    ax: Axes, xy: np.ndarray, coloring: Coloring, *, size: float | None = None, label: str = ""
) -> None:
    """Draw cells as points, with a legend or a colour bar.

    Parameters
    ----------
    ax
        Axes to draw on.
    xy
        Shape ``(n_cells, 2)``.
    coloring
        Colours of the cells.
    size
        Area of a point in square points; by default it decreases with the number of cells.
    label
        Label of the colour bar.
    """
    style: dict[str, Any] = {
        "s": default_size(len(xy)) if size is None else size,
        "linewidths": 0,
        "rasterized": True,
    }
    x, y = np.asarray(xy).T
    if coloring.values is None:
        ax.scatter(x, y, color=GREY, **style)
        return
    missing = coloring.values.isna().to_numpy()
    ax.scatter(x[missing], y[missing], color=GREY, **style)
    if coloring.colors is None:
        value = coloring.values.to_numpy(dtype=float)
        at = np.argsort(value, kind="stable")[: int((~missing).sum())]  # NaN comes last
        finite = value[np.isfinite(value)]
        low, high = np.quantile(finite, _COLOR_RANGE) if len(finite) else (0, 1)
        points = ax.scatter(x[at], y[at], c=value[at], vmin=low, vmax=high, **style)
        bar = ax.figure.colorbar(points, ax=ax, extend="both")
        bar.set_label(label or coloring.title, parse_math=False)
        return
    # A random drawing order prevents one category from covering the others.
    shuffled = np.random.default_rng(0).permutation(len(x))
    at = shuffled[~missing[shuffled]]
    names = coloring.values.astype(object).to_numpy()[at]
    ax.scatter(x[at], y[at], c=[coloring.colors[name] for name in names], **style)
    _draw_legend(ax, coloring, bool(missing.any()))


def _draw_legend(ax: Axes, coloring: Coloring, has_missing: bool) -> None:
    """Draw a legend of the categories with cells, right of the axes."""
    colors = coloring.colors or {}
    entries = [(colors[name], name) for name in coloring.present]
    if has_missing:
        entries.append((GREY, "NA"))
    handles = [
        ax.scatter([], [], s=30, linewidths=0, color=color, label=name) for color, name in entries
    ]
    legend = ax.legend(
        handles=handles,
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        frameon=False,
        fontsize="small",
        title=coloring.title,
        ncols=max(coloring.n_legend_columns, 1),
    )
    for text in (legend.get_title(), *legend.get_texts()):
        text.set_parse_math(False)


def default_size(n_cells: int) -> float:
    """Area of a point: scanpy's default, capped so that neighbouring cells stay distinct."""
    return float(min(120_000 / max(n_cells, 1), 25))
