"""Row access to count matrices, sparse or dense, in memory, on disk or lazy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import h5py
import numpy as np
from anndata.abc import CSCDataset, CSRDataset
from scipy import sparse

from ._csr_on_disk import CsrOnDisk

# scipy has no sparse matrices of these types: half-precision numbers and Python objects.
_CONVERTED = "eO"
_NUMERIC = "biufe"
# Rows between requested ones that are read with them, because a further read takes longer.
_MAX_GAP = 16


class MatrixReader:
    """Row access to a count matrix.

    Reading some rows takes time in proportion to their non-zeros, not to the whole matrix. A
    column-wise (CSC) matrix has no such access and is converted to CSR once.

    Parameters
    ----------
    x
        Counts, shape ``(cells, features)``: scipy sparse, numpy, dask, or on disk (HDF5 or zarr).
    where
        Place of the matrix, for error messages.

    Raises
    ------
    ValueError
        If ``x`` has another type. The message contains ``where``.
    """

    def __init__(self, x: Any, where: str = "`X`") -> None:
        self._where = where
        if not hasattr(x, "shape") or not hasattr(x, "dtype"):
            raise ValueError(
                f"{where} must be a sparse or dense matrix, found {type(x).__name__}. Convert it to "
                "a scipy CSR matrix."
            )
        if isinstance(x, CSCDataset):
            x = x.to_memory()
        if isinstance(x, CSRDataset):
            x = CsrOnDisk(x)
        if sparse.issparse(x):
            x = _with_one_index_type(_canonical(x.tocsr()))
        self._x = x
        self._is_loaded = sparse.issparse(x) or isinstance(x, np.ndarray)

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of rows and columns."""
        return self._x.shape

    @property
    def is_loaded(self) -> bool:
        """Whether the matrix is in memory."""
        return self._is_loaded

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
            return self._as_csr(self._x[index])
        unique, inverse = np.unique(index, return_inverse=True)
        if not len(unique):
            return sparse.csr_matrix((0, self.shape[1]), dtype=np.float32)
        if hasattr(self._x, "compute"):  # dask plans its own reads
            return self._as_csr(self._x[unique])[inverse]
        # HDF5 and zarr read a slice much faster than the same number of single rows.
        runs = np.split(unique, np.flatnonzero(np.diff(unique) > _MAX_GAP) + 1)
        found = self._read([slice(run[0], run[-1] + 1) for run in runs])
        lengths = [run[-1] + 1 - run[0] for run in runs]
        starts = np.cumsum([0, *lengths[:-1]])
        rows = np.concatenate([r - r[0] + start for r, start in zip(runs, starts, strict=True)])
        rows = rows[inverse]
        whole = np.array_equal(rows, np.arange(found.shape[0]))
        return found if whole else found[rows]

    def chunks(self, size: int = 4096) -> Iterator[sparse.csr_matrix]:
        """Read all rows in order, ``size`` at a time."""
        for start in range(0, self.shape[0], size):
            stop = min(start + size, self.shape[0])
            yield self._read([slice(start, stop)])

    def _read(self, runs: Sequence[slice]) -> sparse.csr_matrix:
        """Read runs of neighbouring rows."""
        if isinstance(self._x, CsrOnDisk):
            return _canonical(self._x.read(runs))
        parts = [self._as_csr(self._x[run]) for run in runs]
        return parts[0] if len(parts) == 1 else sparse.vstack(parts, format="csr")

    def _as_csr(self, block: Any) -> sparse.csr_matrix:
        """Convert some rows to CSR with ascending columns and without repeated entries."""
        if hasattr(block, "compute"):  # dask
            block = block.compute()
        if not sparse.issparse(block):
            block = self._as_numbers(block)
        return _canonical(sparse.csr_matrix(block))

    def _as_numbers(self, block: Any) -> np.ndarray:
        if np.ma.isMaskedArray(block):
            block = np.ma.filled(block.astype(np.float32), np.nan)
        block = np.asarray(block)
        if block.dtype.kind not in _NUMERIC + "O":
            raise ValueError(f"{self._where} must contain numbers, found {block.dtype}.")
        if block.dtype.char not in _CONVERTED:
            # scipy has no sparse matrices of another byte order than that of the machine.
            return block.astype(block.dtype.newbyteorder("="), copy=False)
        try:
            return block.astype(np.float32)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{self._where} has dtype {block.dtype} and contains values that are not numbers "
                f"({error}). Convert it to float32."
            ) from None


def _canonical(x: sparse.csr_matrix) -> sparse.csr_matrix:
    """The matrix itself, or a copy with ascending columns and without repeated entries."""
    if x.has_canonical_format:
        return x
    # Sums of repeated entries can exceed the range of small integers.
    x = x.astype(np.float32) if x.dtype.kind in "biu" else x.copy()
    x.sum_duplicates()
    return x


def _with_one_index_type(x: sparse.csr_matrix) -> sparse.csr_matrix:
    """The matrix with ends of rows of the type of its columns, if they fit into it.

    If the types differ, scipy converts the columns of all non-zeros whenever it reads a row. Some
    files have such matrices.
    """
    if x.indptr.dtype == x.indices.dtype or x.nnz > np.iinfo(x.indices.dtype).max:
        return x
    ends = x.indptr.astype(x.indices.dtype)
    found = sparse.csr_matrix((x.data, x.indices, ends), x.shape)
    found.has_canonical_format = True
    return found


def is_on_disk(x: Any) -> bool:
    """Return whether a matrix is in an HDF5 file or a zarr store.

    Parameters
    ----------
    x
        Matrix of a type that :class:`MatrixReader` accepts.
    """
    on_disk = (CSRDataset, CSCDataset, h5py.Dataset)
    return isinstance(x, on_disk) or type(x).__module__.startswith("zarr.")


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
        if not isinstance(one, h5py.HLObject):  # zarr
            return bool(one == other)
    return one is other or (isinstance(one, h5py.HLObject) and one == other)
