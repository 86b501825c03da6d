"""Annotations and scores that colour the cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from multiDGD._names import is_copy
from multiDGD.pl._scatter import given_colors

from ._colors import categories, numbers
from ._sections import Coloring

if TYPE_CHECKING:
    from multiDGD.model import MultiDGD

COMPONENT = "component"


def annotation_colorings(
    model: MultiDGD,
    cells: np.ndarray,
    component: np.ndarray,
    scores: Mapping[str, np.ndarray],
    keys: Sequence[str],
) -> list[Coloring]:
    """Colour cells by columns of ``obs``, components, predicted labels, scores and total counts.

    Parameters
    ----------
    model
        A trained model.
    cells
        Positions of the cells.
    component
        Component of each cell.
    scores
        Scores of each cell by name, NaN if unknown.
    keys
        Columns of ``obs``, the most important first.
    """
    manager = model.adata_manager
    data = manager.adata
    found = []
    for key in keys:
        column = data.obs[key].iloc[cells]
        if pd.api.types.is_float_dtype(column):
            found.append(numbers(key, column.to_numpy(), "Annotation"))
        else:
            found.append(categories(key, column, "Annotation", given_colors(data, key)))
    found.append(categories(COMPONENT, pd.Series(component), "Model", ()))
    for name, values in scores.items():
        found.append(numbers(name, values, "Model"))
    for i, modality in enumerate(manager.summary.features):
        library = manager.libraries[cells, i]
        with np.errstate(divide="ignore"):
            logs = np.where(library > 0, np.log10(library), np.nan)
        of = f", {modality}" if len(manager.summary.features) > 1 else ""
        found.append(numbers(f"total counts{of} (log10)", logs, "Counts"))
    return [coloring for coloring in found if coloring is not None]


def column_keys(model: MultiDGD, label_key: str | None, batch_key: str | None) -> list[str]:
    """Columns of ``obs`` to colour by: labels, batch, covariates, then all other categories.

    Parameters
    ----------
    model
        A trained model.
    label_key, batch_key
        Columns with labels and batches, if any.
    """
    data = model.adata_manager.adata
    obs = data.obs
    # mudata copies columns of the modalities, as in `rna:batch`.
    copies = {f"{m}:{key}" for m in getattr(data, "mod", ()) for key in obs}
    first = [label_key, batch_key, *model.summary.covariates, *model.summary.continuous]
    # `annotate` writes the components.
    others = [
        key
        for key in map(str, obs.columns)
        if isinstance(obs[key], pd.Series)
        and isinstance(obs[key].dtype, pd.CategoricalDtype)
        and not is_copy(key)
        and key not in copies
        and not key.startswith("multidgd_component")
        and obs[key].nunique() > 1
    ]
    return [key for key in dict.fromkeys([*first, *others]) if key is not None and key in obs]
