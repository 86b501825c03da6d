"""Joint scores of several modalities, with predictions for missing ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ._masked_sums import mean_of

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

RIDGE = 0.05
"""Ridge penalty of the prediction of missing scores, relative to the mean variance of a component."""
_MIN_PAIRED = 10


def join_scores(scores: Sequence[Array], present: Mask, fit: Mask) -> Array:
    r"""Concatenate the scores of all modalities, and predict missing ones from observed ones.

    The scores are assumed to be jointly Gaussian with covariance :math:`C`. The prediction of
    missing modalities :math:`m` from observed ones :math:`o` is the conditional mean
    :math:`C_{mo} (C_{oo} + \lambda I)^{-1} x_o`, which is a ridge regression fitted to the cells
    with both. For two modalities without common cells, the covariance is derived from third
    modalities that share cells with both, :math:`C_{ab} = C_{ac} C_{cc}^{-1} C_{cb}`. Without such
    a modality :math:`C_{ab} = 0`, and the prediction is the mean, zero.

    Parameters
    ----------
    scores
        One array per modality, each of shape ``(n_cells, k_m)``, zero where missing.
    present
        Whether each cell was measured in each modality, boolean, shape
        ``(n_cells, n_modalities)``.
    fit
        Cells to which means and covariance are fitted, boolean, shape ``(n_cells,)``.

    Returns
    -------
    numpy.ndarray
        Shape ``(n_cells, sum_m k_m)``. Each modality is centred on the cells with all modalities,
        or on all measured cells if there are fewer than ten complete ones.
    """
    complete = fit & present.all(axis=1)
    ends = np.cumsum([block.shape[1] for block in scores])
    joined = np.empty((len(present), ends[-1]))
    centred = np.split(joined, ends[:-1], axis=1)  # views
    for block, has, into in zip(scores, present.T, centred, strict=True):
        reference = complete if complete.sum() >= _MIN_PAIRED else fit & has
        into[:] = block
        into -= mean_of(block, reference)
        into[~has] = 0
    patterns, pattern_of = np.unique(present, axis=0, return_inverse=True)
    if patterns.all():
        return joined
    covariance = _covariance(centred, present, fit)
    owner = np.repeat(np.arange(len(scores)), [block.shape[1] for block in scores])
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
    """Covariance of all scores, estimated for each pair of modalities from the cells with both."""
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
    """Compute ``left middle^-1 right`` with a ridge penalty."""
    penalty = max(RIDGE * np.trace(middle) / len(middle), 1e-12)
    return left @ np.linalg.solve(middle + penalty * np.eye(len(middle)), right)
