"""Average profile of the training cells, which has a count-split score of 0 by definition."""

from __future__ import annotations

import numpy as np

from benchmarks.quality.task import Fit, Task
from benchmarks.shared.count_halves import average_profile


def average(task: Task) -> Fit:
    """Predict the same profile for every cell."""
    profiles = {
        name: np.tile(average_profile(task.train.counts(name)), (task.half.data.n_obs, 1))
        for name in task.train.modalities
    }
    return Fit(profiles={"": profiles})
