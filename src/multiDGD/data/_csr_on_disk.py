"""Rows of a CSR matrix in an HDF5 file or zarr store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from anndata.abc import CSRDataset
from scipy import sparse

# zarr reads more slices faster as single positions, which need one call.
_MAX_SLICES = 64


class CsrOnDisk:
    """Rows of a CSR matrix on disk, with the ends of the rows in memory.

    Each access to AnnData's object takes milliseconds, whatever the number of rows.

    Parameters
    ----------
    x
        Matrix on disk.
    """

    def __init__(self, x: CSRDataset) -> None:
        self.shape: tuple[int, int] = x.shape
        self.dtype: np.dtype = x.dtype
        self._data = x.group["data"]
        self._indices = x.group["indices"]
        self._ends = np.asarray(x.group["indptr"][:], dtype=np.int64)

    def read(self, runs: Sequence[slice]) -> sparse.csr_matrix:
        """Read runs of neighbouring rows.

        Parameters
        ----------
        runs
            Start and stop of each run, in ascending order.

        Returns
        -------
        The rows of all runs.
        """
        at = [slice(self._ends[run.start], self._ends[run.stop]) for run in runs]
        sizes = [np.diff(self._ends[run.start : run.stop + 1]) for run in runs]
        ends = np.concatenate([[0], np.cumsum(np.concatenate(sizes))])
        values = _values(self._data, at), _values(self._indices, at)
        return sparse.csr_matrix((*values, ends), (len(ends) - 1, self.shape[1]))


def _values(array: Any, at: Sequence[slice]) -> np.ndarray:
    """Values of several slices of an array on disk."""
    if len(at) > _MAX_SLICES and hasattr(array, "oindex"):  # zarr
        return array.oindex[np.concatenate([np.arange(s.start, s.stop) for s in at])]
    return np.concatenate([array[s] for s in at])
