"""Cells of a registered object whose counts changed after the registration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True, eq=False)
class CellRecord:
    """Counts of the cells of an object at one time.

    Attributes
    ----------
    names
        Names of the cells, shape ``(n,)``.
    prints
        Fingerprint of each cell in each modality, shape ``(n, modalities)``, uint64.
    observed
        Positions of the model's features in the object, by modality.
    """

    names: pd.Index
    prints: np.ndarray
    observed: Mapping[str, np.ndarray]

    @property
    def fingerprints(self) -> np.ndarray:
        """Fingerprint of each cell, shape ``(n,)``, uint64."""
        return self.prints.sum(1, dtype=np.uint64)

    def changed_from(self, former: CellRecord) -> tuple[np.ndarray, np.ndarray]:
        """Find cells with the same name and other counts.

        Parameters
        ----------
        former
            The object at an earlier time.

        Returns
        -------
        Positions of m cells in ``former``, and whether each of their modalities changed, shape
        ``(m, modalities)``.
        """
        rows = self.names.get_indexer(former.names)
        changed = (self.prints[rows] != former.prints) & (rows >= 0)[:, None]
        cells = np.flatnonzero(changed.any(1))
        return cells, changed[cells]
