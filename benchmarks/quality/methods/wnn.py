"""Weighted nearest neighbours of muon, which are a graph and not an embedding."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from benchmarks.quality.methods.pca import blocks, harmony
from benchmarks.quality.task import Fit, Neighbours, Task
from benchmarks.shared.other import run_in_other_environment
from benchmarks.shared.timing import Seconds


def wnn(task: Task) -> Fit:
    """Graph of the scored cells from the components of each modality after Harmony."""
    clock = Seconds.now()
    components = blocks(task.train, task.seed)
    if task.n_batches > 1:
        for name, block in components.items():
            components[name] = harmony(block, task.train.batch, task.seed)
    seconds = Seconds.now().since(clock)
    with tempfile.TemporaryDirectory() as folder:
        scored = {name: block[task.scored] for name, block in components.items()}
        np.savez(Path(folder, "components.npz"), **scored)
        found = run_in_other_environment("wnn", task, Path(folder))
    return Fit(
        neighbours=Neighbours(found.arrays["indices"], found.arrays["distances"]),
        seconds=Seconds(*map(sum, zip(seconds, found.seconds, strict=True))),
        versions=found.versions,
    )
