"""Counts of some of the registered cells."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import sparse

from multiDGD.data import CellManager
from multiDGD.data._csr import as_csr

Matrices = Mapping[str, sparse.csr_matrix]


def counts_of(manager: CellManager, cells: np.ndarray) -> Matrices:
    """Read the counts of some cells, shape ``(n, f)``, by modality; 0 where not measured.

    Parameters
    ----------
    manager
        Manager of the registered cells.
    cells
        Positions of the cells, in any order.
    """
    parts: dict[str, list[sparse.csr_matrix]] = {m: [] for m in manager.summary.features}
    for batch in manager.batches(cells):
        for modality, counts in batch["counts"].items():
            parts[modality].append(as_csr(counts))
    return {m: sparse.vstack(p, format="csr") for m, p in parts.items()}


def is_measured(manager: CellManager, modality: str) -> np.ndarray:
    """Mask of the features that each panel measured, shape ``(panels, f)``.

    Parameters
    ----------
    manager
        Manager of the registered cells; its ``panels.codes`` are the rows of the mask.
    modality
        Name of the modality.
    """
    observed = manager.panels.observed
    mask = np.zeros((len(observed), manager.summary.n_features[modality]), dtype=bool)
    for panel, positions in enumerate(observed):
        mask[panel, positions.get(modality, [])] = True
    return mask
