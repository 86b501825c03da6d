"""Remarks about the data that need no threshold of quality, each with what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ._counts import Matrices
from ._sections import Component, Fit

if TYPE_CHECKING:
    from multiDGD.model import MultiDGD

# Fewer cells are rarely a type of their own.
_SMALL = 5


def notes_on(
    model: MultiDGD, fit: Fit, components: Sequence[Component], n_drawn: int, counts: Matrices
) -> list[str]:
    """Remarks on values, components, missing modalities, panels and the choice of cells.

    Parameters
    ----------
    model
        A trained model.
    fit
        What was fitted.
    components
        Components with cells.
    n_drawn
        Number of cells drawn.
    counts
        Their counts, by modality.
    """
    notes = [
        f"The values of {name} are not whole numbers. The model is one of raw counts: with "
        "normalised values, its results and the checks above are not valid. Pass the layer with raw "
        "counts (`layer`, `--layer`)."
        for name, matrix in counts.items()
        if (matrix.data % 1).any()
    ]
    small = sorted(c.number for c in components if c.n_cells < _SMALL)
    if small:
        notes.append(
            f"Components with fewer than {_SMALL} cells: number {', '.join(map(str, small))}. "
            "They can be rare types, doublets or damaged cells; look at their markers, and colour "
            "the cells by total counts."
        )
    for modality in fit.modalities:
        n_missing = fit.n_cells - modality.n_cells
        if n_missing:
            notes.append(
                f"{n_missing:,} cells have no counts in {modality.name}. The model uses their "
                f"other modalities; `model.impute(modality={modality.name!r})` or `multidgd impute` "
                "predicts the counts."
            )
    n_panels = len(model.adata_manager.panels.observed)
    if n_panels > 1:
        notes.append(
            f"The cells belong to {n_panels} groups with different measured features. Features "
            "that were not measured are grey, and principal components were not computed."
        )
    for key, categories in model.summary.covariates.items():
        if len(categories) < 2:
            notes.append(f"{key} has a single category and is not modelled.")
    if n_drawn < fit.n_cells:
        notes.append(
            f"The page shows a random subset of {n_drawn:,} of {fit.n_cells:,} cells; "
            "`max_cells` sets their number."
        )
    return notes
