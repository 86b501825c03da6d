"""Principal scores of the cells in one modality whose counts are read in blocks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.linalg import eigh

from ._blocks import CountBlocks
from ._krylov import krylov_axes
from ._modality_scores import count_scores, feature_weights, weigh_scores, with_signs
from ._normalize import FITS, column_sums, row_sums

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

# The products of all pairs of more features take longer than several passes.
_MAX_GRAM = 2_500
# Dense products are faster above this share of non-zeros.
_DENSE = 0.1


def streamed_scores(
    counts: CountBlocks, normalization: str, fit: Mask, *, seed: int = 0
) -> tuple[Array, Mask] | None:
    """Compute the scores of :func:`~multiDGD.init._modality_scores.modality_scores` from blocks.

    Parameters
    ----------
    counts
        Raw counts, shape ``(n_cells, n_features)``; a row is empty if the cell was not measured.
    normalization
        ``"log"``, ``"tfidf"`` or ``"clr"``.
    fit
        Cells to which the components are fitted, boolean, shape ``(n_cells,)``.
    seed
        Seed of the initial vectors of the decomposition.

    Returns
    -------
    tuple or None
        Scores of shape ``(n_cells, at most 30)``, zero where the modality was not measured, and
        the mask of the measured cells. None if no component can be computed.
    """
    sizes, seen = [], np.zeros(counts.shape[1], bool)
    for block, mask in counts.with_mask(fit):
        sizes.append(row_sums(block))
        seen |= column_sums(block[mask]) > 0
    totals = np.concatenate(sizes)
    fitted = fit & (totals > 0)
    if fitted.sum() < 2:
        return None
    counts = counts.columns(np.flatnonzero(seen))
    values = counts.map(FITS[normalization](counts, fitted))
    weighted = weigh_scores(_principal_scores(values, fitted, seed), totals, fit)
    return None if weighted is None else (weighted, totals > 0)


def _principal_scores(values: CountBlocks, fitted: Mask, seed: int) -> Array:
    """Project all cells on the leading components of the cells in ``fitted``."""
    n_cells, n_features = int(fitted.sum()), values.shape[1]
    n_scores = count_scores(n_cells, n_features)
    if n_features <= _MAX_GRAM:
        mean, weight, axes = _gram_axes(values, fitted, n_cells, n_scores)
    else:
        mean, squares = _moments(values, fitted, n_cells)
        weight = feature_weights(mean, squares)
        axes = krylov_axes(lambda: values.selected(fitted), mean, weight, n_scores, seed)
    loadings = weight[:, None] * with_signs(axes)
    projection = loadings.astype(np.float32)
    return np.vstack([block @ projection for block in values]) - mean @ loadings


def _moments(values: CountBlocks, fitted: Mask, n_cells: int) -> tuple[Array, Array]:
    """Mean and mean square of each feature."""
    n_features = values.shape[1]
    sums, squares = np.zeros(n_features), np.zeros(n_features)
    for block in values.selected(fitted):
        sums += column_sums(block)
        squares += np.bincount(block.indices, block.data.astype(np.float64) ** 2, n_features)
    return sums / n_cells, squares / n_cells


def _gram_axes(
    values: CountBlocks, fitted: Mask, n_cells: int, n_scores: int
) -> tuple[Array, Array, Array]:
    """Mean, weights and principal axes of the features, from their products in one pass."""
    n_features = values.shape[1]
    sums, gram = np.zeros(n_features), np.zeros((n_features, n_features))
    for block in values.selected(fitted):
        sums += column_sums(block)
        gram += _products(block)
    mean = sums / n_cells
    gram /= n_cells
    weight = feature_weights(mean, gram.diagonal())
    gram -= np.outer(mean, mean)
    gram *= weight[:, None]
    gram *= weight
    last = [n_features - n_scores, n_features - 1]
    axes = eigh(gram, subset_by_index=last, overwrite_a=True)[1][:, ::-1]
    return mean, weight, axes


def _products(block: sp.csr_matrix) -> npt.NDArray[np.float32]:
    """Sum over cells of the products of all pairs of features."""
    if block.nnz > _DENSE * block.shape[0] * block.shape[1]:
        dense = block.toarray()
        return dense.T @ dense
    return (block.T @ block).toarray()
