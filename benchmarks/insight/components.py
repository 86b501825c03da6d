"""Number of components found by ``n_components="auto"``."""

from __future__ import annotations

import scvi

from benchmarks.insight.task import Figures, Task
from multiDGD import MultiDGD
from multiDGD.datasets import simulate_multiome

TYPES = (2, 3, 5, 8, 12, 20)


def components(part: str, seed: int) -> dict[str, Figures]:
    """Number of components for a given number of types."""
    n_types = int(part.split()[0])
    data = simulate_multiome(1500, n_types=n_types, seed=seed)
    scvi.settings.seed = seed
    MultiDGD.setup_mudata(data, batch_key="batch")
    model = MultiDGD(data, n_components="auto")
    found = len(model.module.mixture.mixture_probs())
    return {"": {"found": float(found), "within_one": float(abs(found - n_types) <= 1)}}


TASK = Task(
    components,
    tuple(f"{n} types" for n in TYPES),
    {"found": "components", "within_one": "within one"},
)
