"""Joining the blocks of modalities that not every cell has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

RIDGE = 0.05
"""Ridge penalty of the prediction of a lacking block, per mean variance of a component."""
_MIN_PAIRED = 10


def join_blocks(blocks: Sequence[Array], present: Mask, fit: Mask) -> Array:
    r"""Blocks side by side, lacking ones predicted from those a cell has.

    The blocks are taken as jointly Gaussian. With :math:`C` their covariance, a cell with the
    blocks :math:`o` gets, for the blocks :math:`m` it lacks, the conditional mean
    :math:`C_{mo} (C_{oo} + \lambda I)^{-1} x_o`: ridge regression learned from the cells that
    have both. Two modalities that no cell shares are linked through the third ones they share
    cells with, :math:`C_{ab} = C_{ac} C_{cc}^{-1} C_{cb}`; without such a bridge
    :math:`C_{ab} = 0`, and the lacking block is its mean, zero.

    Parameters
    ----------
    blocks
        One per modality, each of shape ``(n_cells, k_m)``, zero where lacking.
    present
        Which cell has which block, boolean of shape ``(n_cells, n_modalities)``.
    fit
        Cells to learn from, shape ``(n_cells,)``.

    Returns
    -------
    numpy.ndarray
        Shape ``(n_cells, sum_m k_m)``, each block centred on the cells that have all of them
        (on all that have it, where fewer than ten do).
    """
    complete = fit & present.all(axis=1)
    centred = []
    for block, has in zip(blocks, present.T, strict=True):
        reference = complete if complete.sum() >= _MIN_PAIRED else fit & has
        centred.append(np.where(has[:, None], block - block[reference].mean(axis=0), 0))
    joined = np.hstack(centred)
    patterns, pattern_of = np.unique(present, axis=0, return_inverse=True)
    if patterns.all():
        return joined
    covariance = _covariance(centred, present, fit)
    owner = np.repeat(np.arange(len(blocks)), [block.shape[1] for block in blocks])
    for i, pattern in enumerate(patterns):
        known = pattern[owner]
        if known.all() or not known.any():
            continue
        cells = np.flatnonzero(pattern_of.ravel() == i)
        inner = covariance[np.ix_(known, known)]
        penalty = max(RIDGE * np.trace(inner) / known.sum(), 1e-12)
        inner = inner + penalty * np.eye(known.sum())
        predict = np.linalg.solve(inner, covariance[np.ix_(known, ~known)])
        joined[np.ix_(cells, ~known)] = joined[np.ix_(cells, known)] @ predict
    return joined


def _covariance(centred: Sequence[Array], present: Mask, fit: Mask) -> Array:
    """Covariance of all blocks, each part from the cells that have both of its blocks."""
    n = len(centred)
    parts: dict[tuple[int, int], Array] = {}
    for a in range(n):
        for b in range(a, n):
            both = fit & present[:, a] & present[:, b]
            if both.sum() >= _MIN_PAIRED or a == b:
                parts[a, b] = centred[a][both].T @ centred[b][both] / max(both.sum(), 1)
                parts[b, a] = parts[a, b].T
    filled = dict(parts)
    for a in range(n):
        for b in range(n):
            if (a, b) not in parts:
                bridges = [c for c in range(n) if (a, c) in parts and (c, b) in parts]
                shape = centred[a].shape[1], centred[b].shape[1]
                filled[a, b] = sum(
                    (_through(parts[a, c], parts[c, c], parts[c, b]) for c in bridges),
                    np.zeros(shape),
                ) / max(len(bridges), 1)
    return np.block([[filled[a, b] for b in range(n)] for a in range(n)])


def _through(left: Array, middle: Array, right: Array) -> Array:
    """``left middle^-1 right``, with a ridge."""
    penalty = max(RIDGE * np.trace(middle) / len(middle), 1e-12)
    return left @ np.linalg.solve(middle + penalty * np.eye(len(middle)), right)
