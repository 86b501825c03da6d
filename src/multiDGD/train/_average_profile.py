"""Average profile of cells, some of which measured only some of the features."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from multiDGD.init import CountBlocks

# The shares converge by a factor per iteration that is the share of the unmeasured features.
_N_ITERATIONS = 50


def average_profile(
    x: sparse.csr_matrix | CountBlocks,
    library_n: np.ndarray,
    masks: np.ndarray,
    codes: np.ndarray,
    cells: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Share of each feature in the library sizes, and its mean count, shape ``(f,)`` each.

    The share of a feature is its total count divided by the library sizes of the cells in which it
    was measured. These are extrapolated to all features by the shares themselves, in iterations.

    Parameters
    ----------
    x
        Counts of one modality, shape ``(n_cells, f)``.
    library_n
        Library sizes, 0 where the modality was not measured, shape ``(n_cells,)``.
    masks
        Measured features of p panels, shape ``(p, f)``.
    codes
        Panel of each cell, shape ``(n_cells,)``.
    cells
        Positions of the cells to average.
    """
    n_panels, f = masks.shape
    # Products with a matrix of ones, because indexing would copy the rows of the counts.
    selected = np.zeros((x.shape[0], n_panels))
    selected[cells, codes[cells]] = 1
    total_pf, first = np.zeros((n_panels, f)), 0
    for block in x if isinstance(x, CountBlocks) else [x]:
        total_pf += np.asarray(block.T @ selected[first : first + block.shape[0]]).T
        first += block.shape[0]
    library_p = library_n.astype(float) @ selected
    n_cells_p = (library_n > 0).astype(float) @ selected
    total_f = total_pf.sum(0)
    # One pseudo-count per modality keeps the logits of features without counts finite.
    count_f = total_f + 1 / f
    share_f = count_f / (library_p.sum() + 1)
    for _ in range(0 if masks.all() else _N_ITERATIONS):
        measured_p = masks @ share_f / share_f.sum()
        complete_p = library_p / np.where(measured_p > 0, measured_p, 1)
        share_f = count_f / (complete_p @ masks + 1)
    return share_f, count_f / (n_cells_p @ masks).clip(1)
