"""Removal of categorical covariate effects from an embedding, as in Harmony."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from sklearn.cluster import KMeans

Array = npt.NDArray[np.float64]
Codes = npt.NDArray[np.integer]
Mask = npt.NDArray[np.bool_]
F = TypeVar("F", bound=np.floating)

DIVERSITY = 2.0
"""Exponent of the preference for clusters that contain all categories (Harmony's theta)."""
SOFTNESS = 0.1
"""Width of the soft assignment to clusters, in cosine distance (Harmony's sigma)."""
SHRINKAGE = 0.5
"""Ridge penalty of a shift, as a fraction of the expected cells of its category (Harmony's alpha)."""
_ROUNDS = 10
_SWEEPS = 4
_SLICES = 5
_MAX_FIT_CELLS = 6_000
_MIN_CATEGORY_CELLS = 10


@dataclass
class _Round:
    """Parameters of one round, sufficient to apply it to other cells."""

    centres: Array  # (K, L), unit length
    preference: Array  # (K, C)
    shift: Array  # (K, C, L)


def remove_covariates(
    embedding: npt.NDArray[F],
    covariates: Sequence[Codes],
    fit: Mask,
    *,
    centre: Array | float = 0.0,
    seed: int = 0,
) -> npt.NDArray[F]:
    r"""Remove the shifts between categories within soft clusters, as in Harmony.

    Centring each category would remove biological differences if categories differ in
    composition. Harmony (Korsunsky et al., Nature Methods 16:1289, 2019) therefore alternates
    three steps:

    - assign cells softly to clusters by cosine similarity, with a preference for clusters in which
      the cell's category is rarer than expected,
      :math:`R_{ik} \propto \exp(-2 (1 - \cos(z_i, y_k)) / \sigma)
      \prod_c ((E_{kc} + 1) / (O_{kc} + 1))^{\theta}`;
    - estimate the shift of each category in each cluster by ridge regression on the uncorrected
      embedding, with a penalty :math:`\alpha E_{kc}` in proportion to the expected number of cells
      (so categories with few cells in a cluster have small shifts);
    - subtract the shifts, weighted by the assignment.

    Clusters and shifts are fitted to at most 6,000 of the fitted cells and then applied to all
    cells. Time and memory are thus linear in the number of cells. Codes below zero (unknown) and
    categories with fewer than ten fitted cells cause no shift, because so few cells cannot
    separate a batch effect from a cell type.

    Parameters
    ----------
    embedding
        Shape ``(n_cells, L)``.
    covariates
        Integer codes, each of shape ``(n_cells,)``.
    fit
        Cells to which clusters and shifts are fitted, boolean, shape ``(n_cells,)``.
    centre
        Mean of the fitted cells, shape ``(L,)``; zero for a centred embedding.
    seed
        Seed of k-means and of the subsample of cells.

    Returns
    -------
    numpy.ndarray
        Corrected embedding, shape ``(n_cells, L)``, with the type of ``embedding``.
    """
    known = [(codes, _categories(codes, fit)) for codes in map(np.asarray, covariates)]
    known = [(codes, categories) for codes, categories in known if len(categories) > 1]
    if not known or fit.sum() < 4:
        return embedding

    def design(cells: npt.NDArray[np.integer]) -> Array:
        return np.hstack([_one_hot(codes[cells], categories) for codes, categories in known])

    # Sorting by the first axis makes the result independent of the order of the cells.
    fitted = np.flatnonzero(fit)
    fitted = fitted[np.argsort(embedding[fitted, 0], kind="stable")]
    if len(fitted) > _MAX_FIT_CELLS:
        picked = np.random.default_rng(seed).choice(len(fitted), _MAX_FIT_CELLS, replace=False)
        fitted = fitted[np.sort(picked)]
    rounds = _fit_rounds(_centred(embedding[fitted], centre), design(fitted), seed)
    corrected = np.empty_like(embedding)
    # Whole tables of double precision or of indicators would be the peak of a training's memory.
    for part in np.array_split(np.arange(len(embedding)), max(len(embedding) // 20_000, 1)):
        z = z0 = _centred(embedding[part], centre)
        of_part = design(part)
        for step in rounds:
            similar = _assign(_unit(z), step.centres)
            share = _normalise(similar * _prefer(of_part, step.preference))
            z = z0 - _shift(share, of_part, step.shift)
        corrected[part] = z + centre
    return corrected


def _fit_rounds(z0: Array, design: Array, seed: int) -> list[_Round]:
    """Alternate assignments and shifts until convergence, for at most ten rounds."""
    n_cells = len(z0)
    n_clusters = int(np.clip(round(0.5 * np.sqrt(n_cells)), 2, 100))
    frequency = design.mean(axis=0)
    slices = [np.arange(i, n_cells, _SLICES) for i in range(min(_SLICES, n_cells))]
    unit = _unit(z0)
    k_means = KMeans(n_clusters, n_init=1, max_iter=25, random_state=seed).fit(unit)
    share = _normalise(_assign(unit, _unit(k_means.cluster_centers_)))
    rounds = []
    for _ in range(_ROUNDS):
        for _ in range(_SWEEPS):
            centres = _unit(share.T @ unit)
            similar = _assign(unit, centres)
            observed, size = share.T @ design, share.sum(axis=0)
            for part in slices:  # updating all cells at once would move them to the same cluster
                observed -= share[part].T @ design[part]
                size -= share[part].sum(axis=0)
                preference = _preference(observed, size, frequency)
                share[part] = _normalise(similar[part] * _prefer(design[part], preference))
                observed += share[part].T @ design[part]
                size += share[part].sum(axis=0)
        preference = _preference(observed, size, frequency)
        shift = _fit_shifts(z0, share, design, frequency)
        rounds.append(_Round(centres, preference, shift))
        moved = _unit(z0 - _shift(share, design, shift))
        change, unit = float(np.abs(moved - unit).mean()), moved
        if change < 1e-3:
            break
    return rounds


def _fit_shifts(z: Array, share: Array, design: Array, frequency: Array) -> Array:
    """Ridge estimate of the shift of each category in each cluster, shape ``(K, C, L)``."""
    n_clusters, n_categories = share.shape[1], design.shape[1]
    features = np.hstack([np.ones((len(z), 1)), design])
    shift = np.empty((n_clusters, n_categories, z.shape[1]))
    for k in range(n_clusters):
        weighted = features * share[:, [k]]
        penalty = np.concatenate([[0.0], SHRINKAGE * share[:, k].sum() * frequency]) + 1e-9
        shift[k] = np.linalg.solve(weighted.T @ features + np.diag(penalty), weighted.T @ z)[1:]
    return shift


def _shift(share: Array, design: Array, shift: Array) -> Array:
    """Compute ``sum_k share_ik sum_c design_ic shift_kc``, shape ``(n_cells, L)``."""
    moved = np.zeros((len(share), shift.shape[2]))
    for c in range(design.shape[1]):
        cells = np.flatnonzero(design[:, c])
        moved[cells] += share[cells] @ shift[:, c]
    return moved


def _preference(observed: Array, size: Array, frequency: Array) -> Array:
    """Preference for clusters in which a category is rarer than expected, shape ``(K, C)``."""
    return ((np.outer(size, frequency) + 1) / (np.maximum(observed, 0) + 1)) ** DIVERSITY


def _prefer(design: Array, preference: Array) -> Array:
    """Product of the preferences for the categories of each cell, shape ``(n_cells, K)``."""
    return np.exp(design @ np.log(preference).T)


def _assign(unit: Array, centres: Array) -> Array:
    """Unnormalised soft assignment by cosine distance, shape ``(n_cells, K)``."""
    distance = 2 * (1 - unit @ centres.T)
    return np.exp(-(distance - distance.min(axis=1, keepdims=True)) / SOFTNESS)


def _normalise(share: Array) -> Array:
    return share / np.maximum(share.sum(axis=1, keepdims=True), 1e-300)


def _centred(embedding: npt.NDArray[np.floating], centre: Array | float) -> Array:
    return np.asarray(embedding - centre, dtype=np.float64)


def _unit(z: Array) -> Array:
    return z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-12)


def _categories(codes: Codes, fit: Mask) -> Codes:
    """Categories with enough fitted cells."""
    values, sizes = np.unique(codes[fit & (codes >= 0)], return_counts=True)
    return values[sizes >= _MIN_CATEGORY_CELLS]


def _one_hot(codes: Codes, categories: Codes) -> Array:
    """Indicators of the categories, shape ``(n_cells, n_categories)``."""
    return (codes[:, None] == categories[None, :]).astype(np.float64)
