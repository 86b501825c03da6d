"""Means over some of the cells, without a copy of their values."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

# Cells whose values are copied at once.
_PART = 2**16


def parts_of(values: Array) -> Iterator[slice]:
    """Slices of the cells, so that temporary copies have the size of one slice.

    Parameters
    ----------
    values
        One row for each cell.
    """
    return (slice(i, i + _PART) for i in range(0, len(values), _PART))


def mean_of(values: Array, cells: Mask) -> Array:
    """Mean of each column over some cells.

    Parameters
    ----------
    values
        Shape ``(n_cells, k)``.
    cells
        Mask, shape ``(n_cells,)``.
    """
    sums = (values[part][cells[part]].sum(axis=0) for part in parts_of(values))
    return sum(sums, start=np.zeros(values.shape[1])) / cells.sum()


def variance_of(values: Array, cells: Mask) -> Array:
    """Variance of each column over some cells.

    Parameters
    ----------
    values
        Shape ``(n_cells, k)``.
    cells
        Mask, shape ``(n_cells,)``.
    """
    mean = mean_of(values, cells)
    sums = (((values[part][cells[part]] - mean) ** 2).sum(axis=0) for part in parts_of(values))
    return sum(sums, start=np.zeros(values.shape[1])) / cells.sum()


def mean_square_of(values: Array, cells: Mask) -> float:
    """Mean square of all values of some cells.

    Parameters
    ----------
    values
        Shape ``(n_cells, k)``.
    cells
        Mask, shape ``(n_cells,)``.
    """
    sums = (float((values[part][cells[part]] ** 2).sum()) for part in parts_of(values))
    return sum(sums) / (int(cells.sum()) * values.shape[1])
