"""Principal components of each modality, and Harmony on their concatenation."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc

from benchmarks.quality.task import Fit, Task
from benchmarks.shared.count_halves import Profiles
from benchmarks.shared.data import BATCH_KEY, Dataset
from benchmarks.shared.linear_baselines import PCABaseline
from benchmarks.shared.timing import Seconds

#: Components of each modality in the embedding, and in predictions.
N_COMPONENTS, N_PREDICTION = 30, 20
N_VARIABLE_GENES = 2000


def pca_harmony(task: Task) -> Fit:
    """Embed training cells; predict second halves by components without Harmony."""
    clock = Seconds.now()
    embedding = np.hstack(list(blocks(task.train, task.seed).values()))
    if task.n_batches > 1:
        embedding = harmony(embedding, task.train.batch, task.seed)
    seconds = Seconds.now().since(clock)
    profiles = {"": pca_profiles(task.train, task.half, task.seed)}
    return Fit(embedding=embedding, profiles=profiles, seconds=seconds)


def blocks(train: Dataset, seed: int) -> dict[str, np.ndarray]:
    """Components of each modality, scaled to a total variance of 1."""
    found = {}
    for name in train.modalities:
        if name == "rna":
            z = _rna_components(train, seed)
            found[name] = z / np.sqrt(z.var(0).sum())
        else:
            found[name] = PCABaseline(N_COMPONENTS, seed).fit({name: train.counts(name)})
    return found


def _rna_components(train: Dataset, seed: int) -> np.ndarray:
    """Components of log-normalised variable genes, by scanpy."""
    cells = ad.AnnData(train.counts("rna"))
    sc.pp.normalize_total(cells)
    sc.pp.log1p(cells)
    if cells.n_vars > N_VARIABLE_GENES:
        cells.obs[BATCH_KEY] = pd.Categorical(train.batch)
        sc.pp.highly_variable_genes(cells, n_top_genes=N_VARIABLE_GENES, batch_key=BATCH_KEY)
    sc.pp.pca(cells, n_comps=min(N_COMPONENTS, min(cells.shape) - 1), random_state=seed)
    return cells.obsm["X_pca"]


def harmony(embedding: np.ndarray, batch: np.ndarray, seed: int) -> np.ndarray:
    """Embedding after the removal of batch effects by Harmony with its defaults."""
    import harmonypy

    table = pd.DataFrame({BATCH_KEY: batch})
    found = harmonypy.run_harmony(
        embedding, table, [BATCH_KEY], random_state=seed, ncores=1, verbose=False
    )
    return np.asarray(found.Z_corr)


def pca_profiles(train: Dataset, half: Dataset, seed: int) -> Profiles:
    """Components of each modality by itself, transformed back to profiles."""
    model = PCABaseline(N_PREDICTION, seed)
    model.fit({name: train.counts(name) for name in train.modalities})
    return model.transform({name: half.counts(name) for name in train.modalities})[1]
