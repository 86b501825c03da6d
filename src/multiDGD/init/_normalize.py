"""Count normalisations that map zero to zero, so that sparse matrices stay sparse."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from multiDGD._names import are_coordinates

from ._blocks import CountBlocks

Mask = npt.NDArray[np.bool_]
Vector = npt.NDArray[np.float64]
Normalization = Callable[[sp.csr_matrix, Mask], sp.csr_matrix]
Normalizer = Callable[[sp.csr_matrix], sp.csr_matrix]

_CLR_DENSITY = 0.6
_TFIDF_FEATURES = 1000
_TFIDF_EVENNESS = 0.15
_DOMINANT_SHARE = 0.05


def row_sums(counts: sp.csr_matrix) -> Vector:
    """Total count of each cell.

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
    """Total count of each feature, shape ``(n_features,)``."""
    return np.asarray(counts.sum(axis=0, dtype=np.float64)).ravel()


def fit_log(counts: CountBlocks, fit: Mask) -> Normalizer:
    """Learn the dominant features and the median size of :func:`log_normalize`."""
    share = sum((column_sums(block) for block in counts.selected(fit)), np.zeros(counts.shape[1]))
    modest = (share <= _DOMINANT_SHARE * share.sum()).astype(np.float64)

    def sizes(block: sp.csr_matrix) -> Vector:
        found = np.asarray(block @ modest).ravel()
        # Cells with counts of dominant features only.
        return np.where(found > 0, found, row_sums(block))

    median = _median_positive(np.concatenate([sizes(block) for block in counts.selected(fit)]))

    def normalize(block: sp.csr_matrix) -> sp.csr_matrix:
        out = _divide_rows(block, sizes(block) / median)
        np.log1p(out.data, out=out.data)
        return out

    return normalize


def fit_tfidf(counts: CountBlocks, fit: Mask) -> Normalizer:
    """Learn the numbers of cells with each feature of :func:`tfidf`."""
    n_cells, n_with_feature = 0, np.zeros(counts.shape[1], np.int64)
    for block in counts.selected(fit):
        n_cells += int((np.diff(block.indptr) > 0).sum())
        n_with_feature += np.bincount(block.indices, minlength=counts.shape[1])
    idf = np.log1p(max(n_cells, 1) / np.maximum(n_with_feature, 1)).astype(np.float32)

    def normalize(block: sp.csr_matrix) -> sp.csr_matrix:
        out = _divide_rows(block, row_sums(block) / 1e4)
        out.data *= idf[out.indices]
        np.log1p(out.data, out=out.data)
        return out

    return normalize


def fit_clr(counts: CountBlocks, fit: Mask) -> Normalizer:
    """Return :func:`clr`, which learns nothing."""
    return lambda block: clr(block, fit)


def log_normalize(counts: sp.csr_matrix, fit: Mask) -> sp.csr_matrix:
    r"""Compute ``log(1 + s x_ij / n_i)``, where ``s`` is the median of the sizes ``n_i``.

    The size ``n_i`` of cell i is its total count, without features that have more than 5 % of all counts
    of the fitted cells (MALAT1, haemoglobin). Cells with many of these would otherwise have low
    values of all other features.

    Parameters
    ----------
    counts
        Raw counts, shape ``(n_cells, n_features)``.
    fit
        Cells that determine ``s`` and the dominant features, boolean, shape ``(n_cells,)``.

    Returns
    -------
    scipy.sparse.csr_matrix
        float32, with the zeros of ``counts``.
    """
    return fit_log(_one_block(counts), fit)(counts)


def tfidf(counts: sp.csr_matrix, fit: Mask) -> sp.csr_matrix:
    r"""Compute ``log(1 + 1e4 x_ij / n_i log(1 + n / d_j))``.

    Feature j has counts in ``d_j`` of ``n`` cells, and ``n_i`` is the total count of cell i.

    Parameters
    ----------
    counts
        Raw counts, shape ``(n_cells, n_features)``.
    fit
        Cells that determine ``d_j`` and ``n``, boolean, shape ``(n_cells,)``.

    Returns
    -------
    scipy.sparse.csr_matrix
        float32, with the zeros of ``counts``.
    """
    return fit_tfidf(_one_block(counts), fit)(counts)


def clr(counts: sp.csr_matrix, fit: Mask) -> sp.csr_matrix:
    r"""Compute the centred log-ratio ``log(1 + x_ij / g_i)``, ``log g_i = mean_j log(1 + x_ij)``.

    The pseudo-count maps zero to zero, unlike the plain log-ratio.

    Parameters
    ----------
    counts
        Raw counts, shape ``(n_cells, n_features)``.
    fit
        Ignored, because each cell is its own reference.

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
"""Normalisations by name, functions ``(counts, fit) -> matrix``. New entries can be added."""

FITS: dict[str, Callable[[CountBlocks, Mask], Normalizer]] = {
    "log": fit_log,
    "tfidf": fit_tfidf,
    "clr": fit_clr,
}
"""Functions ``(blocks, fit) -> normalizer`` of the normalisations that can be applied to blocks."""


def choose_normalization(
    counts: sp.csr_matrix | CountBlocks, names: Sequence[str] | None = None
) -> str:
    """Choose the normalisation of a modality from its counts and feature names.

    The first rule that applies determines the result:

    1. ``"tfidf"`` if most feature names are genome coordinates (``chr1-10-20``, ``1:10-20``);
    2. ``"clr"`` if more than 60 % of the entries of the measured cells are non-zero, as for
       antibody tags;
    3. ``"tfidf"`` if no names are given, there are more than 1,000 features, and the counts are
       spread evenly over them: the inverse Simpson index of the feature totals exceeds 15 % of
       the number of features (it is 0.5 to 6 % for RNA and 20 to 50 % for chromatin
       accessibility);
    4. ``"log"`` otherwise.

    Parameters
    ----------
    counts
        Raw counts, shape ``(n_cells, n_features)``; a row is empty if the cell was not measured.
    names
        Names of the features.

    Returns
    -------
    str
        A key of :data:`NORMALIZATIONS`.
    """
    if names is not None and are_coordinates(names):
        return "tfidf"
    n_measured, nnz, share = 0, 0, np.zeros(counts.shape[1])
    for block in counts if isinstance(counts, CountBlocks) else _one_block(counts):
        n_measured += int((np.diff(block.indptr) > 0).sum())
        nnz += block.nnz
        share += column_sums(block)
    if nnz > _CLR_DENSITY * n_measured * counts.shape[1]:
        return "clr"
    if names is None and counts.shape[1] > _TFIDF_FEATURES:
        share /= max(share.sum(), 1e-12)
        if 1 / max(float(share @ share), 1e-12) > _TFIDF_EVENNESS * len(share):
            return "tfidf"
    return "log"


def _one_block(counts: sp.csr_matrix) -> CountBlocks:
    """Blocks of a matrix in memory."""
    return CountBlocks(counts.shape, lambda: iter([counts]))


def _median_positive(sizes: Vector) -> float:
    """Median of the positive sizes, 1 if there are none."""
    positive = sizes[sizes > 0]
    return float(np.median(positive)) if positive.size else 1.0


def _divide_rows(counts: sp.csr_matrix, divisor: Vector) -> sp.csr_matrix:
    """Compute ``counts[i] / divisor[i]`` as a new float32 matrix; empty rows stay empty."""
    out = counts.astype(np.float32, copy=True)
    factor = 1 / np.where(divisor > 0, divisor, 1)
    out.data *= np.repeat(factor.astype(np.float32), np.diff(counts.indptr))
    return out
