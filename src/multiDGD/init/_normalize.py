"""Count normalisations that keep zeros zero, so that wide sparse modalities stay sparse."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

Mask = npt.NDArray[np.bool_]
Normalization = Callable[[sp.csr_matrix, Mask], sp.csr_matrix]

# chr1-10-20, chr1:10-20, chr1_10_20, 1:10-20, GL000194.1:55-900, ...
_COORDINATES = re.compile(r"^[\w.]+[:_-]\d+[-_]\d+$")


def row_sums(counts: sp.csr_matrix) -> npt.NDArray[np.float64]:
    """Total count of every cell, shape (n_cells,)."""
    return np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel()


def _scale_rows(counts: sp.csr_matrix, factor: npt.NDArray[np.float64]) -> sp.csr_matrix:
    """``factor[i] * counts[i]`` as a new float32 matrix."""
    scaled = counts.astype(np.float32)
    if scaled is counts:
        scaled = counts.copy()
    scaled.data *= np.repeat(factor.astype(np.float32), np.diff(counts.indptr))
    return scaled


def log_normalize(counts: sp.csr_matrix, fit: Mask) -> sp.csr_matrix:
    """``log(1 + s x_ij / n_i)`` with ``n_i`` the total of cell i, ``s`` the median total."""
    totals = row_sums(counts)
    learn = totals[fit & (totals > 0)]
    size = float(np.median(learn)) if learn.size else 1.0
    out = _scale_rows(counts, size / np.maximum(totals, 1e-12))
    np.log1p(out.data, out=out.data)
    return out


def tfidf(counts: sp.csr_matrix, fit: Mask) -> sp.csr_matrix:
    """``log(1 + 1e4 * x_ij / n_i * log(1 + n / d_j))``, ``d_j`` the cells with feature j."""
    totals = row_sums(counts)
    learn = counts[fit & (totals > 0)]
    detected = np.bincount(learn.indices[learn.data != 0], minlength=counts.shape[1])
    idf = np.log1p(max(learn.shape[0], 1) / np.maximum(detected, 1)).astype(np.float32)
    out = _scale_rows(counts, 1e4 / np.maximum(totals, 1e-12))
    out.data *= idf[out.indices]
    np.log1p(out.data, out=out.data)
    return out


def clr(counts: sp.csr_matrix, fit: Mask) -> sp.csr_matrix:
    """``log(1 + x_ij / g_i)`` with ``log g_i = mean_j log(1 + x_ij)``, the geometric mean."""
    logged = counts.astype(np.float32)
    if logged is counts:
        logged = counts.copy()
    np.log1p(logged.data, out=logged.data)
    centre = row_sums(logged) / max(counts.shape[1], 1)
    out = _scale_rows(counts, np.exp(-centre))
    np.log1p(out.data, out=out.data)
    return out


NORMALIZATIONS: dict[str, Normalization] = {"log": log_normalize, "tfidf": tfidf, "clr": clr}
"""Name to function ``(counts, fit) -> matrix``; add an entry to add a normalisation."""


def choose_normalization(counts: sp.csr_matrix, names: Sequence[str] | None = None) -> str:
    """Normalisation that fits what the modality looks like.

    - feature names that are genome coordinates: ``"tfidf"``;
    - most entries of the measured cells non-zero, as antibody tags are: ``"clr"``;
    - else ``"log"``.
    """
    if names is not None and len(names):
        sample = [str(name) for name in names[:1000]]
        if np.mean([bool(_COORDINATES.match(name)) for name in sample]) > 0.5:
            return "tfidf"
    measured = int((np.diff(counts.indptr) > 0).sum())
    density = counts.nnz / max(measured * counts.shape[1], 1)
    return "clr" if density > 0.6 else "log"
