"""UMAP of the representations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
from anndata import AnnData

from multiDGD._log import logger
from multiDGD._umap import MIN_CELLS, umap
from multiDGD.pl._embedding import name_axes
from multiDGD.pl._scatter import Coloring, as_categories, draw_cells, palette

if TYPE_CHECKING:
    from mudata import MuData

# In inches. Panels are placed beside each other up to this width.
_ROW_WIDTH = 13.0
# Less empty space at the end of a row is left to its panels.
_MIN_REST = 0.5


def add_umap(data: AnnData | MuData, seed: int) -> None:
    """Compute the UMAP of ``obsm["X_multidgd"]`` and store it as ``obsm["X_umap"]``.

    With too few cells for a UMAP, only a warning is logged.

    Parameters
    ----------
    data
        Annotated data; changed in place.
    seed
        Random seed.
    """
    if data.n_obs < MIN_CELLS:
        logger.warning("Skipped the UMAP: it requires %d cells, found %d", MIN_CELLS, data.n_obs)
        return
    data.obsm["X_umap"] = umap(data.obsm["X_multidgd"], seed)


def draw_umap(
    data: AnnData | MuData,
    path: Path,
    colors: Sequence[str],
    setup: Mapping[str, Any] | None = None,
) -> None:
    """Draw one UMAP panel per column of obs, with a legend beside it.

    Numbers are categories too: the columns are batches, labels and components. Predicted labels
    have the colours of the given ones, and unlabelled cells are grey.

    Parameters
    ----------
    data
        Data with obsm ``X_umap``.
    path
        File of the figure.
    colors
        Columns of obs.
    setup
        Arguments of the setup, for the labels.
    """
    panels = {color: _coloring(data, color, setup or {}) for color in dict.fromkeys(colors)}
    rows = _rows({color: coloring.figure_size[0] for color, coloring in panels.items()})
    heights = [max(panels[color].figure_size[1] for color in row) for row in rows]
    widths = [[panels[color].figure_size[0] for color in row] for row in rows]
    figure = plt.figure(figsize=(max(map(sum, widths)), sum(heights)), layout="constrained")
    parts = figure.subfigures(len(rows), 1, squeeze=False, height_ratios=heights)[:, 0]
    for part, row, row_widths in zip(parts, rows, widths, strict=True):
        # All panels have the same scale: the rest of a row stays empty.
        rest = max(map(sum, widths)) - sum(row_widths)
        ratios = [*row_widths, rest] if rest > _MIN_REST else row_widths
        axes = part.subplots(1, len(ratios), squeeze=False, width_ratios=ratios)[0]
        for ax in axes[len(row) :]:
            ax.set_axis_off()
        axes = axes[: len(row)]
        for ax, color in zip(axes, row, strict=True):
            draw_cells(ax, data.obsm["X_umap"], panels[color])
            name_axes(ax, "umap")
    figure.savefig(path, dpi=150)


def _coloring(data: AnnData | MuData, color: str, setup: Mapping[str, Any]) -> Coloring:
    """Colours of one panel."""
    labels_key = setup.get("labels_key")
    values = as_categories(data.obs[color])
    if labels_key is None or color not in (labels_key, "multidgd_label"):
        return Coloring.by(values, color, data)
    unlabelled = str(setup.get("unlabeled_category"))
    known = as_categories(data.obs[labels_key]).cat.categories
    values = values.cat.set_categories([name for name in known if name != unlabelled])
    found = palette(data, labels_key, known)
    return Coloring(color, values, {name: found[name] for name in values.cat.categories})


def _rows(widths: dict[str, float]) -> list[list[str]]:
    """Panels in rows that are as full as the width permits."""
    rows: list[list[str]] = []
    room = 0.0
    for name, width in widths.items():
        if not rows or width > room:
            rows.append([])
            room = _ROW_WIDTH
        rows[-1].append(name)
        room -= width
    return rows
