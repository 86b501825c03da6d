"""MIDAS with its defaults, in the other environment."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.quality.task import Fit, Task
from benchmarks.shared.other import run_in_other_environment


def midas(task: Task) -> Fit:
    """Biological part of the joint representation; second halves by its imputation."""
    with tempfile.TemporaryDirectory() as folder:
        task.train.data.write(Path(folder, "train.h5mu"))
        task.half.data.write(Path(folder, "half.h5mu"))
        found = run_in_other_environment("midas", task, Path(folder))
    return Fit(
        embedding=found.arrays["embedding"],
        profiles={"": {name: found.arrays[f"profile_{name}"] for name in task.half.modalities}},
        seconds=found.seconds,
        epochs=found.epochs,
        versions=found.versions,
    )
