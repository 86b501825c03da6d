"""Counts that are read in blocks of cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp


@dataclass(frozen=True)
class CountBlocks:
    """Counts of one modality that are read in blocks of cells and never held as a whole.

    Parameters
    ----------
    shape
        Numbers of cells and features.
    read
        Function that reads all cells in order, as CSR matrices of some cells each. It is called
        several times.

    Examples
    --------
    >>> import numpy as np, scipy.sparse as sp
    >>> x = sp.csr_matrix(np.random.default_rng(0).poisson(1.0, (50, 30)))
    >>> rna = CountBlocks(x.shape, lambda: (x[i : i + 20] for i in range(0, 50, 20)))
    >>> [block.shape[0] for block in rna]
    [20, 20, 10]
    """

    shape: tuple[int, int]
    read: Callable[[], Iterator[sp.csr_matrix]]

    def __iter__(self) -> Iterator[sp.csr_matrix]:
        return self.read()

    def map(
        self, function: Callable[[sp.csr_matrix], sp.csr_matrix], n_features: int | None = None
    ) -> CountBlocks:
        """Apply a function to each block while it is read.

        Parameters
        ----------
        function
            Function that preserves the number of cells.
        n_features
            Number of features of its results; the present number by default.
        """
        n = self.shape[1] if n_features is None else n_features
        return CountBlocks((self.shape[0], n), lambda: map(function, self.read()))

    def columns(self, features: npt.NDArray[np.intp]) -> CountBlocks:
        """Select features.

        Parameters
        ----------
        features
            Positions of the features.
        """
        if len(features) == self.shape[1]:
            return self
        return self.map(lambda block: block[:, features], len(features))

    def with_mask(
        self, cells: npt.NDArray[np.bool_]
    ) -> Iterator[tuple[sp.csr_matrix, npt.NDArray[np.bool_]]]:
        """Yield each block with the part of a mask of all cells.

        Parameters
        ----------
        cells
            Mask, shape ``(n_cells,)``.
        """
        first = 0
        for block in self:
            yield block, cells[first : first + block.shape[0]]
            first += block.shape[0]

    def selected(self, cells: npt.NDArray[np.bool_]) -> Iterator[sp.csr_matrix]:
        """Yield the selected cells of each block.

        Parameters
        ----------
        cells
            Mask, shape ``(n_cells,)``.
        """
        for block, mask in self.with_mask(cells):
            yield block if mask.all() else block[np.flatnonzero(mask)]
