"""Counts of a minibatch as a matrix of scipy."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from multiDGD.nn import Counts


def as_csr(counts: Counts) -> sparse.csr_matrix:
    """Convert counts to a matrix, shape ``(n, f)``, which shares their memory.

    Parameters
    ----------
    counts
        Counts without padding.
    """
    ends = np.cumsum(np.bincount(counts.rows.numpy(), minlength=counts.n_cells))
    parts = counts.values.numpy(), counts.columns.numpy(), np.concatenate([[0], ends])
    return sparse.csr_matrix(parts, (counts.n_cells, counts.n_features))
