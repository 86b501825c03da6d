"""Overview of the modalities measured in each group of cells."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from mudata import MuData

from ._figure import LETTER_INCHES, finish, panel
from ._scatter import as_categories, default_colors, obs_column

if TYPE_CHECKING:
    from multiDGD.model import MultiDGD

_ABSENT = "0.93"


def modalities(
    mdata: MuData | MultiDGD,
    groupby: str | None = None,
    *,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes:
    r"""Plot which modalities were measured in which cells.

    Each row is a set of cells with the same modalities and, with ``groupby``, of the same group.
    Each column is a modality with its number of features. A tile is coloured if the modality was
    measured: the cells are part of its AnnData and have counts. Other tiles are grey. The number
    of cells is written on the right.

    Parameters
    ----------
    mdata
        Data with the modalities, or a model of them.
    groupby
        Column of ``mdata.obs`` to group cells by, such as the batch.
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
    TypeError
        If ``mdata`` is not a MuData.
    ValueError
        If the column does not exist.

    Examples
    --------
    >>> import multiDGD
    >>> mdata = multiDGD.datasets.simulate_multiome(n_cells=50, n_genes=20, n_peaks=40)
    >>> [label.get_text() for label in modalities(mdata).get_xticklabels()]
    ['rna\n20 features', 'atac\n40 features']
    """
    mdata = getattr(mdata, "adata", mdata)
    if not isinstance(mdata, MuData):
        raise TypeError(f"`mdata` must be a MuData, found {type(mdata).__name__}.")
    present = _presence(mdata)
    groups = pd.Series("", index=mdata.obs_names, dtype="category")
    if groupby is not None:
        groups = as_categories(obs_column(mdata, groupby, "groupby"))
    rows = _patterns(present, groups)
    names = list(present)
    colors = default_colors(len(names))
    longest = max(len(name) for name, _, _ in rows)
    width = 2.2 + LETTER_INCHES * longest + 1.3 * len(names)
    ax = panel(ax, (width, 1.0 + 0.36 * len(rows)))
    for y, (_, pattern, n_cells) in enumerate(rows):
        for x, is_present in enumerate(pattern):
            color = colors[x] if is_present else _ABSENT
            ax.add_patch(Rectangle((x - 0.46, y - 0.42), 0.92, 0.84, color=color, linewidth=0))
        ax.text(len(names) - 0.4, y, f"{n_cells:,} cells", va="center", fontsize="small")
    ax.set_xlim(-0.5, len(names) - 0.5)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    columns = [f"{m}\n{mdata.mod[m].n_vars:,} features" for m in names]
    ax.set_xticks(range(len(names)), columns, parse_math=False)
    labels = [group for group, _, _ in rows]
    repeated = [False, *(b == a for a, b in pairwise(labels))]
    shown = ["" if r else g for g, r in zip(labels, repeated, strict=True)]
    ax.set_yticks(range(len(rows)), shown, parse_math=False)
    ax.set_ylabel(groupby or "", parse_math=False)
    ax.xaxis.tick_top()
    if not all(all(pattern) for _, pattern, _ in rows):
        ax.set_xlabel("grey: not measured", fontsize="small")
        ax.xaxis.set_label_position("bottom")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    finish(ax, show, save)
    return ax


def _presence(mdata: MuData) -> dict[str, np.ndarray]:
    """Mask of the cells with counts in each modality."""
    found = {}
    for name, part in mdata.mod.items():
        # X may be empty and the counts in a layer.
        matrices = (x for x in (part.X, *part.layers.values()) if x is not None)
        counts = next(matrices, np.zeros(part.shape))
        has_counts = np.asarray((counts != 0).sum(axis=1)).ravel() > 0
        found[name] = mdata.obs_names.isin(part.obs_names[has_counts])
    return found


def _patterns(
    present: dict[str, np.ndarray], groups: pd.Series
) -> list[tuple[str, tuple[bool, ...], int]]:
    """Group, modalities and size of each set of cells; in each group the largest first."""
    masks = np.stack(list(present.values()), axis=1)
    labels = [*groups.cat.categories, "NA"]
    # The code of missing values, -1, becomes that of the last label.
    codes = groups.cat.codes.to_numpy() % len(labels)
    found = []
    for code in np.unique(codes):
        of_group = masks[codes == code]
        patterns, n_cells = np.unique(of_group, axis=0, return_counts=True)
        for at in np.argsort(-n_cells, kind="stable"):
            pattern = tuple(bool(p) for p in patterns[at])
            found.append((str(labels[code]), pattern, int(n_cells[at])))
    return found
