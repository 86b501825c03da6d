"""MIDAS with its defaults, in the other environment."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.mosaics.task import Fit, Task
from benchmarks.shared.data import BATCH_KEY
from benchmarks.shared.other import run_in_other_environment


def midas(task: Task) -> Fit:
    """Biological part of the joint representation; missing modalities by its imputation."""
    data = task.data.data.copy()
    # All cells of a batch of MIDAS have the same modalities.
    data.obs[BATCH_KEY] = task.groups
    with tempfile.TemporaryDirectory() as folder:
        # MIDAS imputes the second file, here the training cells themselves.
        for name in ("train", "half"):
            data.write(Path(folder, f"{name}.h5mu"))
        found = run_in_other_environment("midas", task, Path(folder))
    imputed = {name: found.arrays[f"profile_{name}"][task.lacking(name)] for name in task.single}
    return Fit(
        embedding=found.arrays["embedding"],
        imputed=imputed if task.imputes else {},
        seconds=found.seconds,
        epochs=found.epochs,
        versions=found.versions,
    )
