"""Count normalisations that keep zeros zero, so that wide sparse modalities stay sparse."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

Mask = npt.NDArray[np.bool_]
Vector = npt.NDArray[np.float64]
Normalization = Callable[[sp.csr_matrix, Mask], sp.csr_matrix]

# chr1-10-20, chr1:10-20, chr1_10_20, 1:10-20, GL000194.1:55-900, ...
_COORDINATES = re.compile(r"^[\w.]+[:_-]\d+[-_]\d+$")
_DENSE = 0.6
_WIDE = 1000
_EVEN = 0.15
_DOMINANT = 0.05


def row_sums(counts: sp.csr_matrix) -> Vector:
    """Total count of every cell.

    Parameters
    ----------
    counts
        Matrix of shape ``(n_cells, n_features)``.

    Returns
    -------
    numpy.ndarray
        Totals of shape ``(n_cells,)``.
    """
    return np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel()


def column_sums(counts: sp.csr_matrix) -> Vector:
    """Total count of every feature, shape ``(n_features,)``."""
    return np.asarray(counts.sum(axis=0, dtype=np.float64)).ravel()


def log_normalize(counts: sp.csr_matrix, fit: Mask) -> sp.csr_matrix:
    r"""``log(1 + s x_ij / n_i)``, ``n_i`` the size of cell i and ``s`` the median size.

    Features that hold more than 5 % of all counts of the fitted cells (MALAT1, haemoglobin) are
    left out of ``n_i``: they would otherwise press down every other feature of the cells that
    have much of them.

    Parameters
    ----------
    counts
        Raw counts, shape ``(n_cells, n_features)``.
    fit
        Cells that ``s`` and the dominant features are learned from, shape ``(n_cells,)``.

    Returns
    -------
    scipy.sparse.csr_matrix
        float32, with the zeros of ``counts``.
    """
    share = column_sums(counts[fit])
    modest = share <= _DOMINANT * share.sum()
    totals = row_sums(counts)
    sizes = np.asarray(counts @ modest.astype(np.float64)).ravel()
    sizes = np.where(sizes > 0, sizes, totals)  # nothing but dominant features: all that is known
    out = _divide_rows(counts, sizes / _median_positive(sizes[fit]))
    np.log1p(out.data, out=out.data)
    return out


def tfidf(counts: sp.csr_matrix, fit: Mask) -> sp.csr_matrix:
    r"""``log(1 + 1e4 x_ij / n_i log(1 + n / d_j))``, ``d_j`` of ``n`` cells having feature j.

    Parameters
    ----------
    counts
        Raw counts, shape ``(n_cells, n_features)``.
    fit
        Cells that ``d`` and ``n`` are learned from, shape ``(n_cells,)``.

    Returns
    -------
    scipy.sparse.csr_matrix
        float32, with the zeros of ``counts``.
    """
    learn = counts[fit]
    n_cells = max(int((np.diff(learn.indptr) > 0).sum()), 1)
    n_having = np.bincount(learn.indices, minlength=counts.shape[1])
    idf = np.log1p(n_cells / np.maximum(n_having, 1)).astype(np.float32)
    out = _divide_rows(counts, row_sums(counts) / 1e4)
    out.data *= idf[out.indices]
    np.log1p(out.data, out=out.data)
    return out


def clr(counts: sp.csr_matrix, fit: Mask) -> sp.csr_matrix:
    r"""``log(1 + x_ij / g_i)`` with ``log g_i = mean_j log(1 + x_ij)``, a centred log-ratio.

    The pseudo-count inside keeps zeros zero, which the plain ratio would not.

    Parameters
    ----------
    counts
        Raw counts, shape ``(n_cells, n_features)``.
    fit
        Not needed: every cell is its own reference.

    Returns
    -------
    scipy.sparse.csr_matrix
        float32, with the zeros of ``counts``.
    """
    logged = counts.astype(np.float32, copy=True)
    np.log1p(logged.data, out=logged.data)
    out = _divide_rows(counts, np.exp(row_sums(logged) / max(counts.shape[1], 1)))
    np.log1p(out.data, out=out.data)
    return out


NORMALIZATIONS: dict[str, Normalization] = {"log": log_normalize, "tfidf": tfidf, "clr": clr}
"""Name to function ``(counts, fit) -> matrix``; a new entry is a new normalisation."""


def choose_normalization(counts: sp.csr_matrix, names: Sequence[str] | None = None) -> str:
    """Normalisation that suits what a modality looks like, whatever it is called.

    In this order:

    1. feature names that are genome coordinates (``chr1-10-20``, ``1:10-20``): ``"tfidf"``;
    2. more than 60 % of the entries of the measured cells non-zero, as antibody tags have:
       ``"clr"``;
    3. no names given, more than 1,000 features, and counts spread evenly over them (the inverse
       Simpson index of the feature totals above 15 % of the number of features; 0.5 to 6 % for
       RNA, 20 to 50 % for chromatin accessibility): ``"tfidf"``;
    4. else ``"log"``.

    Parameters
    ----------
    counts
        Raw counts, shape ``(n_cells, n_features)``; empty rows are cells without the modality.
    names
        Names of the features.

    Returns
    -------
    str
        A key of :data:`NORMALIZATIONS`.
    """
    if names is not None and len(names):
        step = max(len(names) // 1000, 1)
        if np.mean([bool(_COORDINATES.match(str(name))) for name in names[::step]]) > 0.5:
            return "tfidf"
    n_measured = int((np.diff(counts.indptr) > 0).sum())
    if counts.nnz > _DENSE * n_measured * counts.shape[1]:
        return "clr"
    if names is None and counts.shape[1] > _WIDE:
        share = column_sums(counts)
        share /= max(share.sum(), 1e-12)
        if 1 / max(float(share @ share), 1e-12) > _EVEN * len(share):
            return "tfidf"
    return "log"


def _median_positive(sizes: Vector) -> float:
    positive = sizes[sizes > 0]
    return float(np.median(positive)) if positive.size else 1.0


def _divide_rows(counts: sp.csr_matrix, divisor: Vector) -> sp.csr_matrix:
    """``counts[i] / divisor[i]`` as a new float32 matrix; empty rows stay empty."""
    out = counts.astype(np.float32, copy=True)
    factor = 1 / np.where(divisor > 0, divisor, 1)
    out.data *= np.repeat(factor.astype(np.float32), np.diff(counts.indptr))
    return out
