"""Minibatches of one matrix, split by modality."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from scipy import sparse

from multiDGD.nn import Counts

from ._matrix_reader import MatrixReader


class ModalityReader:
    """Reader of minibatches from one matrix, as the non-zeros of each of its modalities.

    Parameters
    ----------
    x
        Count matrix of an AnnData, shape ``(rows, columns)``.
    row_of_cell
        Row of each cell, -1 for a cell without a row (mosaic data). If None, cell i is row i.
    columns
        Name of each column for each modality, None if it is of another modality.
    features
        The model's feature names of each modality in this matrix. Columns with other names are
        ignored.
    exposures
        Library sizes of all cells in the modalities where they are not total counts, shape
        ``(n_obs,)`` each.
    """

    def __init__(
        self,
        x: object,
        row_of_cell: np.ndarray | None,
        columns: Mapping[str, pd.Index],
        features: Mapping[str, np.ndarray],
        exposures: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        self.x: object = x
        self.features = features
        self._exposures = exposures or {}
        self._reader = MatrixReader(x)
        self._row_of_cell = row_of_cell
        self._same_columns = len(features) == 1 and all(
            np.array_equal(names, columns.get(modality, ()))
            for modality, names in features.items()
        )
        if not self._same_columns:
            self._modality_of = np.full(self._reader.shape[1], -1)
            self._feature_of = np.zeros(self._reader.shape[1], dtype=np.int64)
            for number, (modality, names) in enumerate(features.items()):
                if modality in columns:
                    position = pd.Index(names).get_indexer(columns[modality])
                    known = position >= 0
                    self._modality_of[known] = number
                    self._feature_of[known] = position[known]

    @classmethod
    def unmeasured(cls, n_cells: int, features: Mapping[str, np.ndarray]) -> ModalityReader:
        """Create the reader of a modality that was not measured in any cell.

        Parameters
        ----------
        n_cells
            Number of cells.
        features
            The model's feature names of the modality.
        """
        columns = {modality: pd.Index(names) for modality, names in features.items()}
        no_rows = sparse.csr_matrix((0, sum(map(len, columns.values()))), dtype=np.float32)
        reader = cls(no_rows, np.full(n_cells, -1), columns, features)
        reader.x = None
        return reader

    @property
    def is_loaded(self) -> bool:
        """Whether the matrix is in memory."""
        return self._reader.is_loaded

    def whole(self) -> sparse.csr_matrix | None:
        """Return the matrix itself if it needs no copy, otherwise None.

        It needs none if it is a CSR matrix in memory with exactly the rows of all cells and the
        features of one modality, in order.
        """
        if self._same_columns and self._row_of_cell is None:
            return self._reader.csr
        return None

    def fetch(self, cells: np.ndarray) -> dict[str, Counts]:
        """Read the counts of some cells, by modality.

        Parameters
        ----------
        cells
            Positions of the cells, shape ``(n,)``.

        Returns
        -------
        Counts of each modality, by name.
        """
        if self._row_of_cell is None:
            at = np.arange(len(cells))
            block = self._reader.rows(cells)
        else:
            index = self._row_of_cell[cells]
            at = np.flatnonzero(index >= 0)
            block = self._reader.rows(index[at])
        rows = np.repeat(at, np.diff(block.indptr))
        columns, values = block.indices, block.data.astype(np.float32, copy=False)
        if not values.all():
            stored = values != 0
            rows, columns, values = rows[stored], columns[stored], values[stored]
        counts = {}
        for number, (modality, names) in enumerate(self.features.items()):
            if self._same_columns:
                part = rows, columns, values
            else:
                here = self._modality_of[columns] == number
                part = rows[here], self._feature_of[columns[here]], values[here]
            found = _as_counts(*part, len(cells), len(names))
            if modality in self._exposures:
                library = torch.from_numpy(self._exposures[modality][cells])
                found = found._replace(library=library)
            counts[modality] = found
        return counts


def _as_counts(
    rows: np.ndarray, columns: np.ndarray, values: np.ndarray, n_cells: int, n_features: int
) -> Counts:
    library = np.bincount(rows, weights=values, minlength=n_cells)
    return Counts(
        values=torch.from_numpy(values),
        rows=torch.from_numpy(rows.astype(np.int64, copy=False)),
        columns=torch.from_numpy(columns.astype(np.int64, copy=False)),
        library=torch.from_numpy(library.astype(np.float32)),
        n_features=n_features,
    )
