"""Joint spectral embedding of the cells of any number of modalities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from ._block import modality_block, with_signs
from ._integrate import remove_covariates
from ._mosaic import join_blocks
from ._normalize import NORMALIZATIONS, choose_normalization

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

JOINT_DIMS = 50
"""Dimensions in which covariates are removed, where more than ``n_latent``."""
_PADDING = 0.01


def spectral_embedding(
    counts: Mapping[str, sp.csr_matrix],
    *,
    n_latent: int,
    feature_names: Mapping[str, Sequence[str]] | None = None,
    covariates: Sequence[npt.NDArray[np.integer]] = (),
    normalization: str | Mapping[str, str] = "auto",
    fit_cells: Mask | None = None,
    seed: int = 0,
) -> npt.NDArray[np.float32]:
    r"""Start of the cell representations: joint principal scores of all modalities.

    Each modality is normalised and reduced to at most 30 principal scores weighted by their
    signal (:func:`~multiDGD.init._block.modality_block`); the blocks are joined, lacking ones
    predicted (:func:`~multiDGD.init._mosaic.join_blocks`); the joint space is rotated to its
    principal axes, covariate effects are taken out
    (:func:`~multiDGD.init._integrate.remove_covariates`), and the leading ``n_latent`` axes
    of the result are returned.

    Parameters
    ----------
    counts
        Raw counts of each modality, shape ``(n_cells, n_features_m)``. The row of a cell that
        lacks the modality is empty.
    n_latent
        Number of dimensions L.
    feature_names
        Names of the features of each modality; they help to tell genomic regions from genes.
    covariates
        Integer codes, each of shape ``(n_cells,)``, of categorical covariates whose effect should
        not be part of the start; below zero where unknown. Which modalities a cell has is
        treated as one more where that differs.
    normalization
        ``"auto"`` (see :func:`~multiDGD.init.choose_normalization`), a key of
        :data:`~multiDGD.init.NORMALIZATIONS`, or either for each modality.
    fit_cells
        Cells that everything is learned from, shape ``(n_cells,)``, all by default; the others
        are projected.
    seed
        Seed; the result is deterministic.

    Returns
    -------
    numpy.ndarray
        float32, shape ``(n_cells, n_latent)``, zero mean over the fitted cells and mean square 1
        over cells *and* dimensions: the mean squared norm of a cell is ``n_latent``, and
        the axes' variances fall as the eigenvalues do. Dimensions beyond the rank of the data
        hold normal noise of standard deviation 0.01 before that scaling.

    Raises
    ------
    ValueError
        If the modalities differ in their number of cells, or a normalisation is not known.

    Examples
    --------
    >>> import numpy as np, scipy.sparse as sp
    >>> rna = sp.csr_matrix(np.random.default_rng(0).poisson(1.0, (50, 30)))
    >>> spectral_embedding({"rna": rna}, n_latent=5).shape
    (50, 5)
    """
    if not counts:
        raise ValueError("`counts` must hold at least one modality.")
    n_cells = next(iter(counts.values())).shape[0]
    fit = np.ones(n_cells, bool) if fit_cells is None else np.asarray(fit_cells, bool)
    if not fit.any():
        raise ValueError("`fit_cells` must hold at least one cell.")
    if fit.shape != (n_cells,) or any(x.shape[0] != n_cells for x in counts.values()):
        raise ValueError("`counts` and `fit_cells` must all have the same number of cells.")
    blocks, present = [], []
    for name in sorted(counts):  # by name, so that the order of the modalities is of no account
        matrix = _clean(counts[name])
        names = None if feature_names is None else feature_names.get(name)
        made = modality_block(matrix, _kind(normalization, name, matrix, names), fit, seed=seed)
        if made is not None:
            blocks.append(made[0])
            present.append(made[1])
    if not blocks:
        return _finish(np.zeros((n_cells, 0)), fit, n_latent, seed)
    has = np.stack(present, axis=1)
    complete = fit & has.all(axis=1)
    space = complete if complete.sum() > n_latent else fit & has.any(axis=1)
    joint = _rotate(join_blocks(blocks, has, fit), space, max(JOINT_DIMS, n_latent))
    corrected = remove_covariates(joint, [*covariates, *_pattern(has, covariates)], fit, seed=seed)
    return _finish(_rotate(corrected, fit, n_latent), fit, n_latent, seed)


def _clean(counts: sp.csr_matrix) -> sp.csr_matrix:
    """CSR with no stored zeros and no repeated entries, the caller's matrix untouched."""
    matrix = sp.csr_matrix(counts)
    if not matrix.has_canonical_format or (matrix.data == 0).any():
        matrix = matrix.copy()
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
    return matrix


def _kind(
    normalization: str | Mapping[str, str],
    name: str,
    matrix: sp.csr_matrix,
    names: Sequence[str] | None,
) -> str:
    kind = normalization if isinstance(normalization, str) else normalization.get(name, "auto")
    if kind == "auto":
        return choose_normalization(matrix, names)
    if kind not in NORMALIZATIONS:
        known = ", ".join(sorted(NORMALIZATIONS))
        raise ValueError(f"`normalization` {kind!r} is not one of auto, {known}.")
    return kind


def _pattern(
    has: Mask, covariates: Sequence[npt.NDArray[np.integer]]
) -> list[npt.NDArray[np.integer]]:
    """Which modalities a cell has, as a covariate; none where a covariate says it already."""
    pattern = np.unique(has, axis=0, return_inverse=True)[1].ravel()
    for codes in covariates:
        both = np.stack([np.asarray(codes), pattern], axis=1)
        if len(np.unique(both, axis=0)) == len(np.unique(both[:, 0])):
            return []
    return [pattern]


def _rotate(joint: Array, space: Mask, n_dims: int) -> Array:
    """Scores on the leading principal axes of the cells in ``space``."""
    centre = joint[space].mean(axis=0)
    centred = joint[space] - centre
    axes = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :n_dims]
    return (joint - centre) @ with_signs(axes)


def _finish(scores: Array, fit: Mask, n_latent: int, seed: int) -> npt.NDArray[np.float32]:
    """Centred and scaled as documented, padded to ``n_latent`` dimensions."""
    scale = float(np.sqrt((scores[fit] ** 2).mean())) if scores[fit].size else 0.0
    scores = scores / scale if scale > 0 else scores
    missing = n_latent - scores.shape[1]
    if missing > 0:
        noise = np.random.default_rng(seed).standard_normal((len(scores), missing))
        scores = np.hstack([scores, _PADDING * noise])
    scores = scores - scores[fit].mean(axis=0)
    scale = float(np.sqrt((scores[fit] ** 2).mean()))
    return (scores / scale if scale > 1e-12 else scores).astype(np.float32)
