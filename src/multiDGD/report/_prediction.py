"""Prediction of one half of the molecules of held-out cells by the model and by PCA."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from sklearn.decomposition import PCA

from multiDGD._log import logger
from multiDGD.data import CellManager
from multiDGD.stats import ProfileScores, split_counts

from ._counts import counts_of
from ._sections import Prediction

if TYPE_CHECKING:
    from multiDGD.model import MultiDGD

# Standard errors with as many cells are far below the differences between methods.
_MAX_HELD_OUT = 500
_MAX_TRAINING = 5_000


def predictions(
    model: MultiDGD, held_out: np.ndarray, training: np.ndarray, seed: int
) -> list[Prediction]:
    """Score the model and principal components by count splitting.

    Principal components of log-normalised counts are fitted to training cells, as many as the
    representation has dimensions. The first halves of the held-out cells are projected on them
    and transformed back to shares. They are not computed if panels measured different features.

    Parameters
    ----------
    model
        A trained model.
    held_out, training
        Positions of the cells in the data of the model.
    seed
        Seed of the choice of cells and of the halves.
    """
    generator = np.random.default_rng(seed)
    held_out = _at_most(held_out, _MAX_HELD_OUT, generator)
    if not len(held_out):
        return []
    logger.info("Predicting the counts of %d held-out cells", len(held_out))
    manager = model.adata_manager
    table = model.get_count_split_score(indices=held_out.tolist(), silent=True, seed=seed)
    linear = _linear_scores(
        manager,
        held_out,
        _at_most(training, _MAX_TRAINING, generator),
        model.module.n_latent,
        generator,
    )
    found = []
    for modality in manager.summary.features:
        if modality not in table.columns.get_level_values(0):
            continue
        score = table[modality]["posterior"].to_numpy()
        weight = table[modality]["n_counts"].to_numpy()
        scored = np.isfinite(score)
        if manager.summary.n_features[modality] < 2 or not scored.any():
            continue
        found.append(_compare(modality, score, weight, scored, linear.get(modality)))
    return found


def _compare(
    modality: str,
    score: np.ndarray,
    weight: np.ndarray,
    scored: np.ndarray,
    linear: np.ndarray | None,
) -> Prediction:
    """Means over all counts, and the standard error of the difference of both scores."""
    mean = float(np.average(score[scored], weights=weight[scored]))
    paired = scored if linear is None else scored & np.isfinite(linear)
    if linear is None or paired.sum() < 2:
        return Prediction(modality, int(scored.sum()), mean, None, 0.0)
    w = weight[paired] / weight[paired].sum()
    difference = (score - linear)[paired]
    se = float(np.sqrt((w**2 * (difference - w @ difference) ** 2).sum()))
    return Prediction(modality, int(scored.sum()), mean, float(w @ linear[paired]), se)


def _at_most(cells: np.ndarray, n: int, generator: np.random.Generator) -> np.ndarray:
    return np.sort(generator.permutation(cells)[:n]).astype(int)


def _linear_scores(
    manager: CellManager,
    held_out: np.ndarray,
    training: np.ndarray,
    n_components: int,
    generator: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Score of each held-out cell, NaN without counts, by modality."""
    if len(manager.panels.observed) > 1:
        return {}
    fit, new = counts_of(manager, training), counts_of(manager, held_out)
    return {
        m: scores
        for m in fit
        if (scores := _score(fit[m], new[m], n_components, generator)) is not None
    }


def _score(
    fit: sparse.csr_matrix,
    new: sparse.csr_matrix,
    n_components: int,
    generator: np.random.Generator,
) -> np.ndarray | None:
    fit = fit[np.flatnonzero(fit.sum(1))]
    n_components = min(n_components, min(fit.shape) - 1)
    if n_components < 1:
        return None
    size = float(np.median(np.asarray(fit.sum(1))))
    solver = "arpack" if n_components < min(fit.shape) - 1 else "full"
    pca = PCA(n_components, svd_solver=solver, random_state=int(generator.integers(2**31)))
    values = _log_normalize(fit, size)
    pca.fit(values if solver == "arpack" else values.toarray())
    seen = new.copy()
    seen.data = split_counts(new.data, 0.5, generator).astype(float)
    unseen = new - seen
    total = np.asarray(fit.sum(0)).ravel() + np.asarray(new.sum(0)).ravel() + 1e-3
    scores = ProfileScores(total / total.sum())
    projected = pca.transform(_log_normalize(seen, size).toarray())
    profile_nf = np.expm1(np.maximum(pca.inverse_transform(projected), 0))
    is_predicted = np.asarray(seen.sum(1)).ravel() > 0
    nothing = np.zeros(new.shape[0])
    scores.add(unseen.toarray(), profile_nf, profile_nf, is_predicted, nothing)
    return scores.cells()["decoded"]


def _log_normalize(counts: sparse.csr_matrix, size: float) -> sparse.csr_matrix:
    library = np.asarray(counts.sum(1), dtype=np.float64).ravel()
    scaled = sparse.diags(size / np.maximum(library, 1)) @ counts
    return sparse.csr_matrix(scaled, dtype=np.float64).log1p()
