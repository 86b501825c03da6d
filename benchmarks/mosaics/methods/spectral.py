"""Spectral initialisation of MultiDGD, without training."""

from __future__ import annotations

from benchmarks.mosaics.task import Fit, Task
from benchmarks.shared.spectral import initial_embedding


def spectral(task: Task) -> Fit:
    """Embedding from which MultiDGD starts its training."""
    embedding, seconds = initial_embedding(task.data, task.seed)
    return Fit(embedding=embedding, seconds=seconds)
