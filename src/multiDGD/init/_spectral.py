"""Joint spectral embedding of cells with any number of modalities."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from ._blocks import CountBlocks
from ._joint_scores import join_scores
from ._masked_sums import mean_of, mean_square_of, parts_of
from ._modality_scores import modality_scores, with_signs
from ._normalize import FITS, NORMALIZATIONS, choose_normalization
from ._remove_covariates import remove_covariates
from ._streamed_scores import streamed_scores

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

JOINT_DIMS = 50
"""Minimum number of dimensions in which covariate effects are removed."""
_PADDING_SD = 0.01


def spectral_embedding(
    counts: Mapping[str, sp.csr_matrix | CountBlocks],
    *,
    n_latent: int,
    feature_names: Mapping[str, Sequence[str]] | None = None,
    covariates: Sequence[npt.NDArray[np.integer]] = (),
    normalization: str | Mapping[str, str] = "auto",
    fit_cells: Mask | None = None,
    seed: int = 0,
) -> npt.NDArray[np.float32]:
    r"""Compute initial representations as joint principal scores of all modalities.

    1. Normalise each modality and reduce it to at most 30 principal scores, weighted by their
       signal.
    2. Concatenate the scores, and predict those of missing modalities by ridge regression.
    3. Rotate the joint scores to their principal axes and remove covariate effects, as in Harmony
       (Korsunsky et al., Nature Methods 16:1289, 2019).
    4. Return the scores on the leading ``n_latent`` principal axes of the result.

    Parameters
    ----------
    counts
        Raw counts of each modality, shape ``(n_cells, n_features_m)``. A row is empty if the cell
        was not measured in the modality. Counts that do not fit into memory are
        :class:`~multiDGD.init.CountBlocks`. The result is then the same up to rounding, and is
        computed in at most five passes over the blocks, or about 20 if there are over 2,500 features.
    n_latent
        Number of dimensions L.
    feature_names
        Names of the features of each modality, used to distinguish genomic regions from genes.
    covariates
        Integer codes of categorical covariates whose effects are removed, each of shape
        ``(n_cells,)``, below zero where unknown. The combination of measured modalities is one
        more covariate if it differs between cells.
    normalization
        ``"auto"`` (see :func:`~multiDGD.init.choose_normalization`) or a key of
        :data:`~multiDGD.init.NORMALIZATIONS`, for all modalities or as a mapping from modalities.
        Blocks cannot have normalisations that were added to it.
    fit_cells
        Cells to which all steps are fitted, boolean, shape ``(n_cells,)``, all by default. The
        other cells are projected.
    seed
        Random seed. The result is deterministic for a given seed.

    Returns
    -------
    numpy.ndarray
        float32, shape ``(n_cells, n_latent)``, with mean zero over the fitted cells. The mean
        square over fitted cells *and* dimensions is 1, so the mean squared norm of a cell is
        ``n_latent``, and variances decrease across dimensions as the eigenvalues do. Dimensions
        beyond the rank of the data contain normal noise, of standard deviation 0.01 before that
        scaling.

    Raises
    ------
    ValueError
        If ``counts`` is empty, the modalities differ in their number of cells, no cell is fitted,
        or a normalisation is unknown.

    Examples
    --------
    >>> import numpy as np, scipy.sparse as sp
    >>> rna = sp.csr_matrix(np.random.default_rng(0).poisson(1.0, (50, 30)))
    >>> spectral_embedding({"rna": rna}, n_latent=5).shape
    (50, 5)
    """
    if not counts:
        raise ValueError("`counts` must contain at least one modality, found none.")
    n_cells = next(iter(counts.values())).shape[0]
    fit = np.ones(n_cells, bool) if fit_cells is None else np.asarray(fit_cells, bool)
    if not fit.any():
        raise ValueError("`fit_cells` must be True for at least one cell, found none.")
    if fit.shape != (n_cells,) or any(x.shape[0] != n_cells for x in counts.values()):
        found = {name: x.shape[0] for name, x in counts.items()}
        raise ValueError(
            "`counts` and `fit_cells` must all have the same number of cells, found "
            f"{found} cells and a mask of shape {fit.shape}."
        )
    scores, present = [], []
    for name in sorted(counts):  # the result must not depend on the order of the modalities
        names = None if feature_names is None else feature_names.get(name)
        result = _scores_of(name, counts[name], normalization, names, fit, seed)
        if result is not None:
            scores.append(result[0])
            present.append(result[1])
    if not scores:
        return _standardise(np.zeros((n_cells, 0)), fit, n_latent, seed)
    has = np.stack(present, axis=1)
    complete = fit & has.all(axis=1)
    space = complete if complete.sum() > n_latent else fit & has.any(axis=1)
    joint = join_scores(scores, has, fit)
    scores.clear()  # for millions of cells, each copy of the scores requires gigabytes
    joint = _rotate(joint, space, max(JOINT_DIMS, n_latent))
    joint = remove_covariates(
        joint, [*covariates, *_measured_modalities(has, covariates)], fit, seed=seed
    )
    return _standardise(_rotate(joint, fit, n_latent), fit, n_latent, seed)


def _scores_of(
    name: str,
    counts: sp.csr_matrix | CountBlocks,
    normalization: str | Mapping[str, str],
    names: Sequence[str] | None,
    fit: Mask,
    seed: int,
) -> tuple[Array, Mask] | None:
    """Scores of one modality, in memory or in blocks, and the mask of the measured cells."""
    if isinstance(counts, CountBlocks):
        blocks = counts.map(_clean)
        kind = _normalization_of(normalization, name, blocks, names, FITS)
        return streamed_scores(blocks, kind, fit, seed=seed)
    matrix = _clean(counts)
    kind = _normalization_of(normalization, name, matrix, names, NORMALIZATIONS)
    return modality_scores(matrix, kind, fit, seed=seed)


def _clean(counts: sp.csr_matrix) -> sp.csr_matrix:
    """Convert to CSR without stored zeros and duplicate entries. The argument stays unchanged."""
    matrix = sp.csr_matrix(counts)
    if not matrix.has_canonical_format or (matrix.data == 0).any():
        matrix = matrix.copy()
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
    return matrix


def _normalization_of(
    normalization: str | Mapping[str, str],
    name: str,
    matrix: sp.csr_matrix | CountBlocks,
    names: Sequence[str] | None,
    available: Collection[str],
) -> str:
    """Normalisation of one modality."""
    kind = normalization if isinstance(normalization, str) else normalization.get(name, "auto")
    if kind == "auto":
        return choose_normalization(matrix, names)
    if kind not in available:
        known = ", ".join(sorted(available))
        raise ValueError(
            f"`normalization` of {name!r} must be one of auto, {known}, found {kind!r}."
        )
    return kind


def _measured_modalities(
    has: Mask, covariates: Sequence[npt.NDArray[np.integer]]
) -> list[npt.NDArray[np.integer]]:
    """Codes of the measured modalities as a covariate; none if another covariate implies them."""
    pattern = np.unique(has, axis=0, return_inverse=True)[1].ravel()
    for codes in covariates:
        both = np.stack([np.asarray(codes), pattern], axis=1)
        if len(np.unique(both, axis=0)) == len(np.unique(both[:, 0])):
            return []
    return [pattern]


def _rotate(joint: Array, space: Mask, n_dims: int) -> Array:
    """Scores on the leading principal axes of the cells in ``space``."""
    centre = mean_of(joint, space)
    centred = (joint[part][space[part]] - centre for part in parts_of(joint))
    products = sum((x.T @ x for x in centred), start=np.zeros((len(centre),) * 2))
    axes = with_signs(np.linalg.eigh(products)[1][:, ::-1][:, :n_dims])
    rotated = np.empty((len(joint), axes.shape[1]))
    for part in parts_of(joint):
        rotated[part] = (joint[part] - centre) @ axes
    return rotated


def _standardise(scores: Array, fit: Mask, n_latent: int, seed: int) -> npt.NDArray[np.float32]:
    """Centre, scale and pad scores, changed in place, to ``n_latent`` dimensions."""
    scale = np.sqrt(mean_square_of(scores, fit)) if scores.shape[1] else 0.0
    if scale > 0:
        scores /= scale
    missing = n_latent - scores.shape[1]
    if missing > 0:
        noise = np.random.default_rng(seed).standard_normal((len(scores), missing))
        scores = np.hstack([scores, _PADDING_SD * noise])
    scores -= mean_of(scores, fit)
    scale = np.sqrt(mean_square_of(scores, fit))
    if scale > 1e-12:
        scores /= scale
    return scores.astype(np.float32)
