"""Counts of one modality in a minibatch, stored as non-zeros."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor


class Counts(NamedTuple):
    """Counts of n cells and f features of one modality, stored as non-zeros.

    It is a named tuple of tensors, which data loaders, Lightning and scvi-tools move between
    devices like any other part of a minibatch.

    A cell in which the modality was not measured is an empty row with library size 0. Its mean is
    0 for every feature, so its log-likelihood and gradient are exactly 0.

    Attributes
    ----------
    values
        Non-zero counts, shape ``(nnz,)``, floating point.
    rows
        Row (cell within the minibatch) of each non-zero, shape ``(nnz,)``, int64, ascending.
    columns
        Column (feature within the modality) of each non-zero, shape ``(nnz,)``, int64.
    library
        Total count of each cell in this modality, shape ``(n,)``, in counts.
    n_features
        Number of features f.
    is_padded
        Whether entries after the last non-zero are padding, which contributes nothing: a value of
        1 in row n and column 0. The number of entries then need not depend on the cells.

    Examples
    --------
    >>> import torch
    >>> from multiDGD.nn import Counts
    >>> counts = Counts.from_dense(torch.tensor([[0.0, 3.0], [0.0, 0.0]]))
    >>> counts.values, counts.library
    (tensor([3.]), tensor([3., 0.]))
    """

    values: Tensor
    rows: Tensor
    columns: Tensor
    library: Tensor
    n_features: int
    is_padded: bool = False

    @property
    def n_cells(self) -> int:
        """Number of rows n."""
        return self.library.shape[0]

    @property
    def flat_index(self) -> Tensor:
        """Index of each non-zero in the flattened ``(n, f)`` matrix, shape ``(nnz,)``."""
        return self.rows * self.n_features + self.columns

    @property
    def padding(self) -> Tensor | None:
        """Mask of the entries that are padding, shape ``(nnz,)``, or `None` if none can be."""
        return self.rows >= self.n_cells if self.is_padded else None

    @classmethod
    def from_dense(cls, x_nf: Tensor, library: Tensor | None = None) -> Counts:
        """Convert a dense count matrix.

        Parameters
        ----------
        x_nf
            Counts, shape ``(n, f)``.
        library
            Total count of each cell, shape ``(n,)``; the row sums by default.

        Raises
        ------
        ValueError
            If ``x_nf`` is not a matrix.
        """
        if x_nf.ndim != 2:
            raise ValueError(
                f"`x_nf` must have shape (cells, features), found {tuple(x_nf.shape)}."
            )
        rows, columns = x_nf.nonzero(as_tuple=True)
        values = x_nf[rows, columns]
        if not values.is_floating_point():
            values = values.float()
        if library is None:
            library = torch.zeros(x_nf.shape[0], dtype=values.dtype, device=x_nf.device)
            library = library.index_add(0, rows, values)
        return cls(values, rows, columns, library, x_nf.shape[1])

    @classmethod
    def concatenate(cls, parts: Sequence[Counts]) -> Counts:
        """Concatenate the cells of several objects with the same features.

        Parameters
        ----------
        parts
            Objects to concatenate, at least one.
        """
        first = accumulate((part.n_cells for part in parts), initial=0)
        return cls(
            values=torch.cat([part.values for part in parts]),
            rows=torch.cat([part.rows + n for part, n in zip(parts, first, strict=False)]),
            columns=torch.cat([part.columns for part in parts]),
            library=torch.cat([part.library for part in parts]),
            n_features=parts[0].n_features,
        )

    def take(self, cells: Tensor) -> Counts:
        """Select cells, at a cost proportional to their non-zeros.

        Parameters
        ----------
        cells
            Row indices in any order, repeats allowed, shape ``(b,)``, int64.

        Examples
        --------
        >>> import torch
        >>> from multiDGD.nn import Counts
        >>> counts = Counts.from_dense(torch.tensor([[0.0, 3.0], [1.0, 2.0]]))
        >>> counts.take(torch.tensor([1, 0, 1])).to_dense()
        tensor([[1., 2.],
                [0., 3.],
                [1., 2.]])
        """
        device = self.rows.device
        first = torch.searchsorted(self.rows, cells)
        n_of_cell = torch.searchsorted(self.rows, cells + 1) - first
        rows = torch.arange(len(cells), device=device).repeat_interleave(n_of_cell)
        # Offset of a cell's non-zeros in the old object, minus that in the new one.
        shift = first - (n_of_cell.cumsum(0) - n_of_cell)
        source = torch.arange(len(rows), device=device) + shift[rows]
        return Counts(
            self.values[source], rows, self.columns[source], self.library[cells], self.n_features
        )

    def with_values(self, values: Tensor) -> Counts:
        """Replace the non-zeros, and compute the library sizes from the new ones.

        Parameters
        ----------
        values
            New counts at the non-zeros, possibly 0, shape ``(nnz,)``.

        Examples
        --------
        >>> import torch
        >>> from multiDGD.nn import Counts
        >>> counts = Counts.from_dense(torch.tensor([[4.0, 3.0]]))
        >>> counts.with_values(torch.tensor([0.0, 2.0])).to_dense()
        tensor([[0., 2.]])
        """
        kept = values > 0
        rows, columns, values = self.rows[kept], self.columns[kept], values[kept]
        library = torch.zeros_like(self.library).index_add(0, rows, values)
        return Counts(values, rows, columns, library, self.n_features)

    def to_dense(self) -> Tensor:
        """Return the dense count matrix, shape ``(n, f)``."""
        n = self.n_cells * self.n_features
        x = self.values.new_zeros(n + self.is_padded)  # the last entry takes the padding
        x[self.flat_index] = self.values
        return x[:n].view(self.n_cells, self.n_features)
