"""Count splitting: division of the molecules of held-out cells, and scores of the second half."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from benchmarks.shared.data import Dataset
from multiDGD.stats import ProfileScores, split_counts

#: Predicted counts by modality, up to a factor for each cell, shape ``(n_cells, n_features)``.
Profiles = dict[str, np.ndarray]


def divide(data: Dataset, seed: int) -> tuple[Dataset, dict[str, sp.csr_matrix]]:
    """Copy with the first half of the molecules of each cell; counts of the second half.

    Only cells with counts in both halves of every modality are kept.
    """
    rng = np.random.default_rng(seed)
    first = {}
    for name in data.modalities:
        x = data.counts(name)
        first[name] = x.copy()
        first[name].data = split_counts(x.data, 0.5, rng).astype(np.float32)
    kept = np.ones(data.data.n_obs, dtype=bool)
    for name, x in first.items():
        rest = data.counts(name) - x
        kept &= (np.asarray(x.sum(1)).ravel() > 0) & (np.asarray(rest.sum(1)).ravel() > 0)
    second = {name: sp.csr_matrix(data.counts(name) - x)[kept] for name, x in first.items()}
    half = data.subset(np.flatnonzero(kept))
    for name, part in half.modalities.items():
        x = first[name][kept]
        x.eliminate_zeros()
        part.X = x[half.data.obs_names.get_indexer(part.obs_names)]
    return half, second


def average_profile(counts: sp.csr_matrix) -> np.ndarray:
    """Share of each feature of all counts, positive, shape ``(n_features,)``."""
    total = np.asarray(counts.sum(0)).ravel() + 1e-3
    return total / total.sum()


def profile_scores(
    train: Dataset, second: dict[str, sp.csr_matrix], profiles: Profiles
) -> dict[str, dict[str, float]]:
    """Scores of the predicted profiles, by modality.

    ``score`` is the log-likelihood of the second half in nats per count above the average profile
    of the training cells, and ``r`` the mean correlation of log counts over features.
    """
    found = {}
    for name, profile in profiles.items():
        scores = ProfileScores(average_profile(train.counts(name)))
        x, n = second[name].toarray(), second[name].shape[0]
        scores.add(x, profile, profile, np.ones(n, bool), np.zeros(n))
        summary = scores.summary()
        found[name] = {"score": summary["decoded"], "r": summary["decoded_correlation"]}
    return found
