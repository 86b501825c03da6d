"""Spread of draws of imputed counts compared with observed counts."""

from __future__ import annotations

import mudata as md
import numpy as np

from benchmarks.insight.task import QUIET_CPU, Figures, Task
from benchmarks.shared.data import BATCH_KEY, load
from multiDGD import MultiDGD

#: Given and imputed modality of each part.
MODALITIES = {
    "pbmc10k_cite": ("rna", "prot"),
    "bmmc_cite": ("rna", "prot"),
    "bmmc_multiome": ("rna", "atac"),
}
N_DRAWS = 100
LEVEL = 0.9


def draws(part: str, seed: int) -> dict[str, Figures]:
    """Compare counts of a modality with draws, for 10 % of the cells mapped without it."""
    given, hidden = MODALITIES[part]
    train, new = load(part).split(seed)
    setup = {"batch_key": BATCH_KEY} if train.n_batches > 1 else {}
    MultiDGD.setup_mudata(train.data, **setup)
    model = MultiDGD(train.data)
    model.train(**QUIET_CPU)
    query = md.MuData({given: new.modalities[given].copy()})
    query.obs = new.data.obs.copy()
    counts = new.modalities[hidden].X.toarray()
    found = model.impute(query, modality=hidden, n_samples=N_DRAWS)
    return {
        "counts": _compare(counts, found),
        "totals": _compare(counts.sum(1), found.sum(2)),
    }


def _compare(counts: np.ndarray, drawn: np.ndarray) -> Figures:
    # Uniform noise avoids ties of counts with the ends of the interval.
    rng = np.random.default_rng(0)
    counts, drawn = (np.log(x + rng.random(x.shape)) for x in (counts, drawn))
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    error = counts - drawn.mean(0)
    return {
        "coverage": float(((low < counts) & (counts < high)).mean()),
        "spread": float(np.sqrt(drawn.var(0).mean())),
        "error": float(np.sqrt((error**2).mean())),
    }


TASK = Task(
    draws,
    tuple(MODALITIES),
    {"coverage": "90 %", "spread": "spread of draws", "error": "error"},
)
