"""Identity of the cells in the table of representations."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from multiDGD.data import CellIndex, CellManager


@dataclass(frozen=True)
class TrainingCells:
    """Names and fingerprints of the cells in the table of representations.

    Attributes
    ----------
    names
        Cell names, shape ``(n,)``.
    fingerprints
        Hash of the counts of each cell, shape ``(n,)``, uint64.
    """

    names: np.ndarray = field(default_factory=lambda: np.asarray([], dtype=str))
    fingerprints: np.ndarray = field(default_factory=lambda: np.asarray([], dtype=np.uint64))

    @classmethod
    def of(cls, manager: CellManager) -> TrainingCells:
        """Identify all cells of a registered object.

        Parameters
        ----------
        manager
            Manager of the object.
        """
        return cls(np.asarray(manager.adata.obs_names, dtype=str), manager.fingerprints)

    @property
    def digest(self) -> str:
        """Identifier of the cells and their counts."""
        digest = hashlib.sha256("\n".join(self.names).encode())
        digest.update(np.ascontiguousarray(self.fingerprints).tobytes())
        return digest.hexdigest()

    # Building the index of many cells takes longer than most queries.
    @cached_property
    def _index(self) -> CellIndex:
        return CellIndex(self.names, self.fingerprints)

    def find(self, manager: CellManager, cells: np.ndarray) -> np.ndarray:
        """Position in the table of each cell with the same name and counts, -1 for other cells.

        Parameters
        ----------
        manager
            Manager of the object that contains the cells.
        cells
            Positions of n cells in the object.

        Returns
        -------
        Shape ``(n,)``.
        """
        return self._index.find(manager.adata.obs_names[cells], manager.fingerprints[cells])
