"""Spectral initialisation of MultiDGD, without training."""

from __future__ import annotations

import numpy as np

from benchmarks.shared.data import Dataset
from benchmarks.shared.settings import N_LATENT
from benchmarks.shared.timing import Seconds
from multiDGD.init import spectral_embedding


def initial_embedding(data: Dataset, seed: int) -> tuple[np.ndarray, Seconds]:
    """Compute the embedding from which MultiDGD starts its training, and its time."""
    batches = np.unique(data.batch, return_inverse=True)[1]
    clock = Seconds.now()
    embedding = spectral_embedding(
        {name: data.counts(name) for name in data.modalities},
        n_latent=N_LATENT,
        feature_names={n: part.var_names.to_numpy() for n, part in data.modalities.items()},
        covariates=[batches] if data.n_batches > 1 else [],
        seed=seed,
    )
    return embedding, Seconds.now().since(clock)
