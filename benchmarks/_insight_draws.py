"""Do draws of what was not measured scatter as counts do?"""

from __future__ import annotations

import mudata as md
import numpy as np
from _data import BATCH_KEY, load
from _insight import QUIET, Figures, Task

from multiDGD import MultiDGD

ASKED = {
    "pbmc10k_cite": ("rna", "prot"),
    "bmmc_cite": ("rna", "prot"),
    "bmmc_multiome": ("rna", "atac"),
}
N_DRAWS = 100
LEVEL = 0.9


def draws(part: str, seed: int) -> dict[str, Figures]:
    """Counts of a tenth of the cells that are placed without them, and draws of these."""
    given, hidden = ASKED[part]
    train, new = load(part).split(seed)
    setup = {"batch_key": BATCH_KEY} if train.n_batches > 1 else {}
    MultiDGD.setup_mudata(train.data, **setup)
    model = MultiDGD(train.data)
    model.train(**QUIET)
    query = md.MuData({given: new.modalities[given].copy()})
    query.obs = new.data.obs.copy()
    counts = new.modalities[hidden].X.toarray()
    found = model.impute(query, modality=hidden, n_samples=N_DRAWS)
    return {
        "counts": _scatter(counts, found),
        "totals": _scatter(counts.sum(1), found.sum(2)),
    }


def _scatter(seen: np.ndarray, drawn: np.ndarray) -> Figures:
    # Ends between whole numbers would be left out or in as a whole: counts are spread over them.
    rng = np.random.default_rng(0)
    seen, drawn = (np.log(x + rng.random(x.shape)) for x in (seen, drawn))
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    error = seen - drawn.mean(0)
    return {
        "held": float(((low < seen) & (seen < high)).mean()),
        "spread": float(np.sqrt(drawn.var(0).mean())),
        "error": float(np.sqrt((error**2).mean())),
    }


TASKS = {
    "draws": Task(
        draws,
        tuple(ASKED),
        {"held": "90 %", "spread": "spread of draws", "error": "error"},
        f"A tenth of the cells by seed, placed by their RNA alone; {N_DRAWS} draws of `impute` of the "
        "other modality. Share of what was counted that the middle 90 % of the draws hold, by feature "
        "and by cell's total; root mean squares of the draws' deviation from their mean and of the "
        "counts' from it, both of logarithms of counts plus uniform noise from 0 to 1. Where draws "
        "are as counts are, these are alike.",
    )
}
