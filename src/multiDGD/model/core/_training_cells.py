"""Identity of the cells in the table of representations."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from multiDGD.data import CellIndex, CellManager


def _no_numbers() -> np.ndarray:
    return np.asarray([], dtype=np.uint64)


@dataclass(frozen=True)
class TrainingCells:
    """Names and fingerprints of the cells in the table of representations.

    Attributes
    ----------
    names
        Cell names, shape ``(n,)``.
    fingerprints
        Hash of the counts of each cell, shape ``(n,)``, uint64.
    covariates
        Hash of the covariates of each cell, shape ``(n,)``, uint64; empty in models that were
        saved without.
    """

    names: np.ndarray = field(default_factory=lambda: np.asarray([], dtype=str))
    fingerprints: np.ndarray = field(default_factory=_no_numbers)
    covariates: np.ndarray = field(default_factory=_no_numbers)

    @classmethod
    def of(cls, manager: CellManager) -> TrainingCells:
        """Identify all cells of a registered object.

        Parameters
        ----------
        manager
            Manager of the object.
        """
        names = np.asarray(manager.adata.obs_names, dtype=str)
        return cls(names, manager.fingerprints, manager.covariate_fingerprints)

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

    @cached_property
    def _names(self) -> pd.Index:
        return pd.Index(self.names.astype(object), dtype=object)

    def find(self, manager: CellManager, cells: np.ndarray) -> np.ndarray:
        """Position in the table of each cell with the same name, counts and covariates.

        Parameters
        ----------
        manager
            Manager of the object that contains the cells.
        cells
            Positions of n cells in the object.

        Returns
        -------
        -1 for other cells, shape ``(n,)``.
        """
        names, fingerprints = manager.adata.obs_names[cells], manager.fingerprints[cells]
        # The model's own data contain the cells in the order of the table.
        if (
            len(self.names) == manager.adata.n_obs
            and np.array_equal(fingerprints, self.fingerprints[cells])
            and names.equals(self._names[cells])
        ):
            rows = cells
        else:
            rows = self._index.find(names, fingerprints)
        if len(self.covariates):
            is_other = self.covariates[rows] != manager.covariate_fingerprints[cells]
            rows = np.where(is_other, -1, rows)
        return rows

    def contains(self, names: np.ndarray, fingerprints: np.ndarray) -> bool:
        """Return whether any of m cells is in the table.

        Parameters
        ----------
        names
            Cell names, shape ``(m,)``.
        fingerprints
            Their fingerprints, shape ``(m,)``.
        """
        return bool((self._index.find(names, fingerprints) >= 0).any())
