"""Checksums of count matrices, to detect changes in place."""

from __future__ import annotations

import zlib
from typing import Any, NamedTuple

import numpy as np
from anndata.abc import CSCDataset, CSRDataset
from scipy import sparse

from ._matrix_reader import MatrixReader

# The checksum of this many bytes takes less time than any method of a model.
_MAX_BYTES = 2**28
_N_BLOCKS = 1024
_BLOCK_BYTES = 2**14
# Each row on disk requires an access of its own.
_N_ROWS = 32


class Checksum(NamedTuple):
    """Checksum of a matrix.

    Attributes
    ----------
    value
        Checksums of the parts of the matrix.
    is_complete
        Whether the checksum includes every value, not a sample at fixed positions.
    """

    value: tuple[object, ...]
    is_complete: bool


def checksum(x: Any) -> Checksum:
    """Compute the checksum of a matrix.

    It includes all values of a matrix of up to 256 MiB in memory. Otherwise, it includes a sample
    at fixed positions: blocks of a larger matrix, and rows or columns of a matrix on disk.

    Parameters
    ----------
    x
        A matrix of a type that :class:`~multiDGD.data._matrix_reader.MatrixReader` accepts; None
        for a missing one.
    """
    if x is None:
        return Checksum((), True)
    if hasattr(x, "dask"):  # an immutable array, whose name identifies its content
        return Checksum((x.name,), False)
    if sparse.issparse(x):
        return _of_arrays(x.format, (x.indptr, x.indices, x.data))
    if isinstance(x, np.ndarray) and not np.ma.isMaskedArray(x) and x.dtype != object:
        order = "F" if x.flags.f_contiguous else "C"
        return _of_arrays(order, (x.T if order == "F" else x,))
    return Checksum((x.shape, str(x.dtype), _of_some_rows(x)), False)


def _of_arrays(layout: str, arrays: tuple[np.ndarray, ...]) -> Checksum:
    is_complete = sum(array.nbytes for array in arrays) <= _MAX_BYTES
    shapes = [(array.shape, str(array.dtype)) for array in arrays]
    values = [_crc(array, is_complete) for array in arrays]
    return Checksum((layout, *shapes, *values), is_complete)


def _crc(array: np.ndarray, is_complete: bool) -> int:
    if not array.flags.c_contiguous:
        step = 1 if is_complete else max(1, len(array) // _N_BLOCKS)
        array, is_complete = np.ascontiguousarray(array[::step]), True
    values = array.reshape(-1).view(np.uint8)
    if is_complete:
        return zlib.crc32(values.data)
    found = 0
    for start in np.linspace(0, max(0, len(values) - _BLOCK_BYTES), _N_BLOCKS, dtype=np.int64):
        found = zlib.crc32(values[start : start + _BLOCK_BYTES].data, found)
    return found


def _of_some_rows(x: Any) -> int:
    if not all(x.shape):
        return 0
    axis = 1 if isinstance(x, CSCDataset) else 0
    at = np.unique(np.linspace(0, x.shape[axis] - 1, _N_ROWS, dtype=np.int64))
    if axis:
        block = x[:, at]
        block = block.to_memory() if isinstance(block, (CSRDataset, CSCDataset)) else block
        block = sparse.csr_matrix(block)
    else:
        block = MatrixReader(x).rows(at)
    return zlib.crc32(repr(_of_arrays("", (block.indptr, block.indices, block.data))).encode())
