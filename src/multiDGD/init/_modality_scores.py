"""Principal scores of the cells in one modality."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.linalg import eigh
from scipy.sparse.linalg import LinearOperator, svds

from ._masked_sums import mean_of, parts_of, variance_of
from ._normalize import NORMALIZATIONS, column_sums, row_sums

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

N_SCORES = 30
"""Largest number of components per modality."""
MAX_SIZE_CORRELATION = 0.75
"""Largest absolute correlation of a component with log library size."""
_MAX_GRAM = 2_500
_SLICE_ENTRIES = 10_000_000
_TOLERANCE = 1e-4
_MIN_SIGNAL = 0.05


def modality_scores(
    counts: sp.csr_matrix, normalization: str, fit: Mask, *, seed: int = 0
) -> tuple[Array, Mask] | None:
    r"""Compute principal scores in one modality, weighted by their signal.

    1. Normalise the counts, and divide each feature by the square root of its standard deviation.
       This is a compromise between the covariance, dominated by the few most abundant features,
       and the correlation, dominated by many noisy features.
    2. Compute the principal components of the fitted cells and project all cells on them.
    3. Drop components whose absolute correlation with log library size exceeds
       :data:`MAX_SIZE_CORRELATION`. Regressing library size out instead would remove biological
       variation, because cell types differ in size.
    4. Scale the scores so that their mean squared norm is the share of the variance above the
       noise level, :math:`\sum_j (\lambda_j - \lambda_{\min}) / \sum_j \lambda_j`. The variance
       :math:`\lambda_{\min}` of the last component estimates the noise level. A modality with a
       flat spectrum (ATAC with few counts) thus has little weight in the joint space.

    Parameters
    ----------
    counts
        Raw counts, shape ``(n_cells, n_features)``; a row is empty if the cell was not measured.
    normalization
        Key of :data:`~multiDGD.init.NORMALIZATIONS`.
    fit
        Cells to which the components are fitted, boolean, shape ``(n_cells,)``.
    seed
        Seed of the initial vector of the decomposition.

    Returns
    -------
    tuple or None
        Scores of shape ``(n_cells, at most 30)``, zero where the modality was not measured, and
        the mask of the measured cells. None if no component can be computed.
    """
    totals = row_sums(counts)
    present = totals > 0
    fitted = fit & present
    if fitted.sum() < 2:
        return None
    seen = column_sums(counts[fitted]) > 0
    if not seen.all():
        counts = counts[:, np.flatnonzero(seen)]
    values = NORMALIZATIONS[normalization](counts, fitted)
    scores = _principal_scores(values, fitted, seed)
    weighted = weigh_scores(scores, totals, fit)
    return None if weighted is None else (weighted, present)


def weigh_scores(scores: Array, totals: Array, fit: Mask) -> Array | None:
    """Drop the scores that follow library size, and weight the others by their signal.

    Parameters
    ----------
    scores
        Principal scores, shape ``(n_cells, k)``, changed in place.
    totals
        Library sizes, 0 where the modality was not measured, shape ``(n_cells,)``.
    fit
        Cells from which variances and correlations are computed, boolean, shape ``(n_cells,)``.

    Returns
    -------
    numpy.ndarray or None
        Shape ``(n_cells, at most k)``, zero where the modality was not measured. None if no score is
        left.
    """
    fitted = fit & (totals > 0)
    scores[totals == 0] = 0
    variance = variance_of(scores, fitted)
    real = variance > 1e-8 * max(float(variance.max(initial=0)), 1e-12)
    free = np.abs(_size_correlation(scores, totals, fitted, variance)) <= MAX_SIZE_CORRELATION
    scores, variance = scores[:, real & free], variance[real & free]
    if not len(variance):
        return None
    signal = 1 - len(variance) * variance.min() / variance.sum()
    scores *= np.sqrt(max(signal, _MIN_SIGNAL) / variance.sum())
    return scores


def with_signs(axes: Array) -> Array:
    """Flip the sign of axes (columns) so that the entry of largest absolute value is positive."""
    return axes * np.where(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])] < 0, -1, 1)


def _principal_scores(values: sp.csr_matrix, fitted: Mask, seed: int) -> Array:
    """Project all cells on the leading components of the cells in ``fitted``."""
    rows = values if fitted.all() else values[np.flatnonzero(fitted)]
    n_cells, n_features = rows.shape
    mean = column_sums(rows) / n_cells
    squares = np.bincount(rows.indices, rows.data.astype(np.float64) ** 2, n_features) / n_cells
    weight = feature_weights(mean, squares)
    n_scores = count_scores(n_cells, n_features)
    axes = _principal_axes(rows, mean, weight, n_scores, seed)
    loadings = weight[:, None] * with_signs(axes)
    return np.asarray(values @ loadings.astype(np.float32), np.float64) - mean @ loadings


def feature_weights(mean: Array, squares: Array) -> Array:
    """Inverse square roots of the standard deviations, 0 for constant features.

    Parameters
    ----------
    mean, squares
        Mean and mean square of each feature, shape ``(n_features,)`` each.
    """
    deviation = np.sqrt(np.maximum(squares - mean**2, 0))
    constant = deviation <= 1e-4 * np.sqrt(squares)  # float32 resolution
    return np.where(constant, 0, 1 / np.sqrt(np.where(constant, 1, deviation)))


def count_scores(n_cells: int, n_features: int) -> int:
    """Number of components of a matrix of this shape."""
    return max(min(N_SCORES, n_cells - 1, n_features - 1), 1)


def _principal_axes(
    rows: sp.csr_matrix, mean: Array, weight: Array, n_scores: int, seed: int
) -> Array:
    """Leading right singular vectors of ``(rows - mean) * weight``, shape ``(n_features, k)``."""
    narrow = min(rows.shape)
    density = rows.nnz / max(rows.shape[0] * rows.shape[1], 1)
    # The Gram matrix costs narrow^2 * wide operations. Lanczos costs about 300 products of nnz
    # operations each, which are slower.
    if narrow <= 2 * n_scores or narrow <= min(_MAX_GRAM, 20_000 * density):
        return _gram_axes(rows, mean, weight, n_scores)
    return _lanczos_axes(rows, mean, weight, n_scores, seed)


def _lanczos_axes(
    rows: sp.csr_matrix, mean: Array, weight: Array, n_scores: int, seed: int
) -> Array:
    """Compute the axes by Lanczos iterations, without densifying ``rows``."""
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
    initial = np.random.default_rng(seed).standard_normal(min(rows.shape)).astype(np.float32)
    _, s, vt = svds(operator, k=n_scores, v0=initial, tol=_TOLERANCE)
    return np.asarray(vt[np.argsort(-s)].T, np.float64)


def _gram_axes(rows: sp.csr_matrix, mean: Array, weight: Array, n_scores: int) -> Array:
    """Compute the axes from the Gram matrix of the shorter dimension, in slices of the longer."""
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


def _size_correlation(scores: Array, totals: Array, cells: Mask, variance: Array) -> Array:
    """Pearson correlation of each column with log totals; zero where either is constant."""
    sizes = np.zeros(len(scores))
    sizes[cells] = np.log(totals[cells])
    sizes[cells] -= sizes[cells].mean()
    mean = mean_of(scores, cells)
    products = (sizes[part] @ (scores[part] - mean) for part in parts_of(scores))
    covariance = sum(products, start=np.zeros(scores.shape[1]))
    norm = np.sqrt(cells.sum() * variance) * np.linalg.norm(sizes)
    return np.where(norm > 1e-12, covariance / np.maximum(norm, 1e-12), 0)
