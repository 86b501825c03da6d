"""Is the number of components found?"""

from __future__ import annotations

import scvi
from _insight import Figures, Task

from multiDGD import MultiDGD
from multiDGD.datasets import simulate_multiome

TYPES = (2, 3, 5, 8, 12, 20)


def components(part: str, seed: int) -> dict[str, Figures]:
    """Components that ``n_components="auto"`` takes for so many types."""
    n_types = int(part.split()[0])
    data = simulate_multiome(1500, n_types=n_types, seed=seed)
    scvi.settings.seed = seed
    MultiDGD.setup_mudata(data, batch_key="batch")
    model = MultiDGD(data, n_components="auto")
    found = len(model.module.mixture.mixture_probs())
    return {"": {"found": float(found), "within_one": float(abs(found - n_types) <= 1)}}


TASKS = {
    "components": Task(
        components,
        tuple(f"{n} types" for n in TYPES),
        {"found": "components", "within_one": "within one"},
        "Simulated multiomes of 1,500 cells. What `n_components='auto'` takes, and how often "
        "that is the number of types or one more or less.",
    )
}
