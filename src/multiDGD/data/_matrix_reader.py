"""Row access to count matrices, sparse or dense, in memory or on disk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np
from anndata.abc import CSCDataset, CSRDataset
from scipy import sparse


class MatrixReader:
    """Row access to a count matrix in memory (sparse or dense) or on disk (backed AnnData).

    Reading some rows takes time in proportion to their non-zeros, not to the whole matrix. A
    column-wise (CSC) matrix has no such access and is converted to CSR once.

    Parameters
    ----------
    x
        Counts, shape ``(cells, features)``: scipy sparse, numpy, or a backed AnnData's ``X``.
    """

    def __init__(self, x: Any) -> None:
        if isinstance(x, CSCDataset):
            x = x.to_memory()
        if sparse.issparse(x):
            x = x.tocsr()
            if not x.has_canonical_format:
                x = x.copy()
                x.sum_duplicates()
        self._x = x
        self._is_loaded = sparse.issparse(x) or isinstance(x, np.ndarray)

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of rows and columns."""
        return self._x.shape

    @property
    def csr(self) -> sparse.csr_matrix | None:
        """The matrix itself if it is sparse and in memory, otherwise None."""
        return self._x if sparse.issparse(self._x) else None

    def rows(self, index: np.ndarray) -> sparse.csr_matrix:
        """Read rows.

        Parameters
        ----------
        index
            Positions, in any order and with repeats.

        Returns
        -------
        Shape ``(len(index), features)``.
        """
        if self._is_loaded:
            return sparse.csr_matrix(self._x[index])
        # h5py requires ascending positions without repeats.
        unique, inverse = np.unique(index, return_inverse=True)
        block = self._x[unique]
        if isinstance(self._x, CSRDataset) and not sparse.issparse(block):
            block = block.to_memory()
        return sparse.csr_matrix(block)[inverse]

    def chunks(self, size: int = 4096) -> Iterator[sparse.csr_matrix]:
        """Read all rows in order, ``size`` at a time."""
        for start in range(0, self.shape[0], size):
            stop = min(start + size, self.shape[0])
            yield sparse.csr_matrix(self._x[start:stop])


def same_matrix(one: Any, other: Any) -> bool:
    """Return whether two matrices are the same object, in memory or on disk.

    ``is`` fails on disk, because AnnData creates a new object for each access.

    Parameters
    ----------
    one, other
        Matrices of a type that :class:`MatrixReader` accepts.
    """
    on_disk = (CSRDataset, CSCDataset)
    if isinstance(one, on_disk) and isinstance(other, on_disk):
        one, other = one.group, other.group
    return one is other or (isinstance(one, h5py.HLObject) and one == other)
