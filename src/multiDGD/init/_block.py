"""One modality as a small dense block: principal scores, without sequencing depth."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.linalg import eigh
from scipy.sparse.linalg import LinearOperator, svds

from ._normalize import NORMALIZATIONS, column_sums, row_sums

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

N_SCORES = 30
"""Most components kept of a modality."""
MAX_DEPTH_CORRELATION = 0.75
"""A component that follows log total counts more closely than this is dropped."""
_MAX_GRAM = 2_500
_SLICE_ENTRIES = 10_000_000
_TOLERANCE = 1e-4
_MIN_SIGNAL = 0.05


def modality_block(
    counts: sp.csr_matrix, normalization: str, fit: Mask, *, seed: int = 0
) -> tuple[Array, Mask] | None:
    r"""Scores of the cells of one modality, weighted by how much of them is signal.

    1. Normalise, and divide each feature by the square root of its standard deviation: half-way
       between the covariance (ruled by the few most abundant features) and the correlation
       (ruled by the many that are mostly noise).
    2. Principal components of the fitted cells; all cells projected.
    3. Components that correlate with log total counts by more than
       :data:`MAX_DEPTH_CORRELATION` are dropped. Regressing depth out instead costs biology,
       because cell types differ in size.
    4. Scale so that the mean squared norm is the share of the variance that stands out of the
       noise, :math:`\sum_j (\lambda_j - \lambda_{\min}) / \sum_j \lambda_j`, where
       :math:`\lambda_{\min}` is the variance of the last component: a flat spectrum (shallow
       ATAC) tells little and should not take half of the joint space.

    Parameters
    ----------
    counts
        Raw counts, shape ``(n_cells, n_features)``; an empty row is a cell without the modality.
    normalization
        Key of :data:`~multiDGD.init.NORMALIZATIONS`.
    fit
        Cells to learn from, shape ``(n_cells,)``.
    seed
        Seed of the start vector of the decomposition.

    Returns
    -------
    tuple or None
        Scores of shape ``(n_cells, at most 30)`` (zero where the modality is lacking) and the
        mask of the cells that have it; None where there is nothing to learn.
    """
    totals = row_sums(counts)
    present = totals > 0
    learn = fit & present
    if learn.sum() < 2:
        return None
    seen = column_sums(counts[learn]) > 0
    if not seen.all():
        counts = counts[:, np.flatnonzero(seen)]
    values = NORMALIZATIONS[normalization](counts, learn)
    scores = _principal_scores(values, learn, seed)
    scores[~present] = 0
    variance = scores[learn].var(axis=0)
    real = variance > 1e-8 * max(float(variance.max(initial=0)), 1e-12)
    free = np.abs(_correlation(scores[learn], np.log(totals[learn]))) <= MAX_DEPTH_CORRELATION
    scores, variance = scores[:, real & free], variance[real & free]
    if not len(variance):
        return None
    signal = 1 - len(variance) * variance.min() / variance.sum()
    return scores * np.sqrt(max(signal, _MIN_SIGNAL) / variance.sum()), present


def with_signs(axes: Array) -> Array:
    """Axes (columns) with their largest entries positive, in whatever order cells and features come."""
    return axes * np.where(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])] < 0, -1, 1)


def _principal_scores(values: sp.csr_matrix, learn: Mask, seed: int) -> Array:
    """Scores of all cells on the leading components of the cells in ``learn``."""
    rows = values if learn.all() else values[np.flatnonzero(learn)]
    n_cells, n_features = rows.shape
    mean = column_sums(rows) / n_cells
    squares = np.bincount(rows.indices, rows.data.astype(np.float64) ** 2, n_features) / n_cells
    deviation = np.sqrt(np.maximum(squares - mean**2, 0))
    constant = deviation <= 1e-4 * np.sqrt(squares)  # all that float32 can tell
    weight = np.where(constant, 0, 1 / np.sqrt(np.where(constant, 1, deviation)))
    n_scores = max(min(N_SCORES, n_cells - 1, n_features - 1), 1)
    axes = _principal_axes(rows, mean, weight, n_scores, seed)
    loadings = weight[:, None] * with_signs(axes)
    return np.asarray(values @ loadings.astype(np.float32), np.float64) - mean @ loadings


def _principal_axes(
    rows: sp.csr_matrix, mean: Array, weight: Array, n_scores: int, seed: int
) -> Array:
    """Leading right singular vectors of ``(rows - mean) * weight``, shape (n_features, k)."""
    narrow = min(rows.shape)
    density = rows.nnz / max(rows.shape[0] * rows.shape[1], 1)
    # The Gram matrix costs narrow^2 * wide, Lanczos some 300 products of nnz slower operations.
    if narrow <= 2 * n_scores or narrow <= min(_MAX_GRAM, 20_000 * density):
        return _gram_axes(rows, mean, weight, n_scores)
    return _lanczos_axes(rows, mean, weight, n_scores, seed)


def _lanczos_axes(
    rows: sp.csr_matrix, mean: Array, weight: Array, n_scores: int, seed: int
) -> Array:
    """By products with vectors, centring and weighting folded in: ``rows`` stays sparse."""
    w = weight.astype(np.float32)
    centre = (mean * weight).astype(np.float32)
    transposed = rows.T.tocsr()

    def forward(v: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        v = v.ravel()
        return rows @ (w * v) - centre @ v

    def backward(u: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        u = u.ravel()
        return w * (transposed @ u) - centre * u.sum()

    operator = LinearOperator(rows.shape, matvec=forward, rmatvec=backward, dtype=np.float32)
    start = np.random.default_rng(seed).standard_normal(min(rows.shape)).astype(np.float32)
    _, s, vt = svds(operator, k=n_scores, v0=start, tol=_TOLERANCE)
    return np.asarray(vt[np.argsort(-s)].T, np.float64)


def _gram_axes(rows: sp.csr_matrix, mean: Array, weight: Array, n_scores: int) -> Array:
    """From the Gram matrix of the narrower side, densified a slice of the wider at a time."""
    n_cells, n_features = rows.shape
    narrow, wide = min(rows.shape), max(rows.shape)
    tall = n_cells >= n_features
    sliced = rows if tall else rows.T.tocsr()
    gram = np.zeros((narrow, narrow))
    parts = np.array_split(np.arange(wide), max(narrow * wide // _SLICE_ENTRIES, 1))

    def slice_(part: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
        dense = sliced[part[0] : part[-1] + 1].toarray().astype(np.float32)
        if tall:
            return ((dense - mean) * weight).astype(np.float32)
        return ((dense - mean[part, None]) * weight[part, None]).astype(np.float32)

    for part in parts:
        dense = slice_(part)
        gram += dense.T @ dense
    last = [narrow - min(n_scores, narrow), narrow - 1]
    vectors = eigh(gram, subset_by_index=last)[1][:, ::-1]
    if tall:
        return vectors
    axes = np.vstack([slice_(part) @ vectors for part in parts])
    return axes / np.maximum(np.linalg.norm(axes, axis=0), 1e-12)


def _correlation(scores: Array, depth: Array) -> Array:
    """Pearson correlation of each column with ``depth``; zero where either is constant."""
    centred = scores - scores.mean(axis=0)
    depth = depth - depth.mean()
    norm = np.linalg.norm(centred, axis=0) * np.linalg.norm(depth)
    return np.where(norm > 1e-12, depth @ centred / np.maximum(norm, 1e-12), 0)
