"""Label composition of mixture components."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from mudata import MuData

from multiDGD._checks import choice

from ._figure import finish, panel, upright_height
from ._scatter import as_categories, obs_column

if TYPE_CHECKING:
    from multiDGD.model import MultiDGD

_NUMBER_INCHES = 0.5
Whole: TypeAlias = Literal["component", "label"]
_UNITS = {
    "component": "share of the component's cells",
    "label": "share of the label's cells",
    None: "cells",
}


def composition(
    model: MultiDGD | pd.DataFrame,
    label_key: str | None = None,
    *,
    adata: AnnData | MuData | None = None,
    normalize: Whole | None = "component",
    cmap: Any = "Blues",
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Plot a heat map of the labels in each component.

    Components (rows) and labels (columns) are ordered to place large shares on the diagonal.
    Components without cells are left out. The number of cells in each component is written on
    the right.

    Parameters
    ----------
    model
        A trained model, or a table of cell numbers, components by labels.
    label_key
        Column of ``adata.obs`` with labels; by default the registered ``labels_key``.
    adata
        Cells to count; those of the model by default.
    normalize
        ``"component"`` for shares of each component's cells, ``"label"`` for shares of each
        label's cells, `None` for numbers of cells.
    cmap
        Colour map.
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
    ValueError
        If the column does not exist, no cell has a label, or ``normalize`` is not an option.

    Examples
    --------
    >>> import pandas as pd
    >>> cells = pd.DataFrame([[8, 2], [0, 5]], columns=["T", "B"])
    >>> [label.get_text() for label in composition(cells).get_xticklabels()]
    ['T', 'B']
    """
    if normalize is not None:
        choice("normalize", normalize, get_args(Whole), " or None")
    counts = model if isinstance(model, pd.DataFrame) else _counts(model, label_key, adata)
    counts = counts.loc[counts.sum(axis=1) > 0, counts.sum(axis=0) > 0]
    if counts.empty:
        raise ValueError("No cell has a label: there is nothing to draw.")
    counts = _diagonal(counts)
    values = counts.astype(float)
    if normalize == "component":
        values = values.div(values.sum(axis=1), axis=0)
    elif normalize == "label":
        values = values.div(values.sum(axis=0), axis=1)
    n_rows, n_columns = values.shape
    # The label of the colour bar must fit even if there are few rows.
    height = 1.3 + upright_height(values.columns) + max(0.24 * n_rows, 2.2)
    ax = panel(ax, (2.6 + 0.26 * n_columns, height))
    image = ax.imshow(
        values, cmap=cmap, aspect="auto", vmin=0, vmax=1 if normalize else None, origin="upper"
    )
    ax.set_xticks(range(n_columns), values.columns.astype(str), rotation=90, parse_math=False)
    ax.set_yticks(range(n_rows), values.index.astype(str))
    ax.set_ylabel("component")
    if label_key is not None or values.columns.name:
        ax.set_xlabel(label_key or str(values.columns.name), parse_math=False)
    for row, n_cells in enumerate(counts.sum(axis=1)):
        ax.text(
            n_columns - 0.3, row, f"{n_cells:,.0f}", va="center", fontsize="small", color="0.4"
        )
    ax.text(n_columns - 0.3, -0.8, "cells", va="center", fontsize="small", color="0.4")
    # The width of the cell numbers does not scale with the heat map.
    inches = ax.get_window_extent().width / ax.figure.dpi
    ax.figure.colorbar(image, ax=ax, label=_UNITS[normalize], pad=_NUMBER_INCHES / inches)
    finish(ax, show, save)
    return ax


def _counts(
    model: MultiDGD, label_key: str | None, adata: AnnData | MuData | None
) -> pd.DataFrame:
    """Numbers of cells, components by labels."""
    data = model.adata if adata is None else adata
    setup = model.registry["setup_args"]
    key = label_key or setup.get("labels_key")
    if key is None:
        raise ValueError("`label_key` is required: the data were registered without `labels_key`.")
    labels = as_categories(obs_column(data, key, "label_key"))
    is_known = (labels.notna() & (labels != setup.get("unlabeled_category"))).to_numpy()
    component = model.get_cluster_assignments(adata)[is_known]
    return pd.crosstab(component, labels[is_known].to_numpy(), colnames=[key])


def _diagonal(counts: pd.DataFrame) -> pd.DataFrame:
    """Order labels by number of cells, and components by their most frequent label."""
    counts = counts[counts.sum(axis=0).sort_values(ascending=False, kind="stable").index]
    top = counts.to_numpy().argmax(axis=1)
    return counts.iloc[np.lexsort([-counts.to_numpy().max(axis=1), top])]
