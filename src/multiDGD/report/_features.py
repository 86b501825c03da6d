"""Genes and proteins that distinguish the components, as colours of the cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from multiDGD._names import are_coordinates
from multiDGD._ranking import rank_features, take_turns
from multiDGD.data import CellManager
from multiDGD.init import NORMALIZATIONS

from ._bytes import pack, quantise
from ._counts import Matrices, is_measured
from ._sections import Coloring

_N_FEATURES = 200
# Outliers would leave all other cells one colour.
_HIGH_QUANTILE = 0.99


def feature_colorings(
    manager: CellManager,
    cells: np.ndarray,
    counts: Matrices,
    component: np.ndarray,
    markers: Mapping[str, Sequence[str]],
) -> list[Coloring]:
    """Select 200 features and quantise their log-normalised counts.

    Markers come first. All others are ranked by the variance between components of their mean
    log-normalised counts. Modalities take turns, so that the few proteins of a panel are not
    behind the many genes. Peaks are left out unless there is nothing else: the counts of a
    single peak are too few to see.

    Parameters
    ----------
    manager
        Manager of the registered cells.
    cells
        Positions of the cells.
    counts
        Their counts, by modality.
    component
        Component of each cell.
    markers
        Names of the markers, by modality.
    """
    names = manager.summary.features
    modalities = [m for m in counts if not are_coordinates(names[m])] or list(counts)
    values, ranked = {}, {}
    for m in modalities:
        present = np.asarray(counts[m].sum(1)).ravel() > 0
        values[m] = NORMALIZATIONS["log"](counts[m], present).tocsc()
        ranked[m] = rank_features(values[m], component, present, names[m], markers.get(m, ()))
    found = []
    for modality, j in take_turns(ranked, _N_FEATURES):
        column = values[modality][:, [j]].toarray().ravel()
        is_known = is_measured(manager, modality)[manager.panels.codes[cells], j]
        is_known &= np.asarray(counts[modality].sum(1)).ravel() > 0
        positive = column[column > 0]
        high = float(np.quantile(positive, _HIGH_QUANTILE)) if len(positive) else 1.0
        data = pack(quantise(np.where(is_known, column, np.nan), 0, high))
        name = str(names[modality][j])
        found.append(Coloring(name, "numbers", data, high=high, group=modality))
    return found
