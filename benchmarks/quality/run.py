"""One run: a method and a seed on one data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.quality.methods import METHODS
from benchmarks.quality.scores import embedding_scores
from benchmarks.quality.task import Task
from benchmarks.shared.count_halves import divide, profile_scores
from benchmarks.shared.data import Dataset

MAX_HELD_OUT = 600


def run(
    data: Dataset,
    method: str,
    seed: int,
    max_epochs: int | None,
    python_other: Path | None,
    threads: int,
) -> tuple[dict[str, Any], dict[str, str]]:
    """Scores of one run, and versions of packages of the other environment.

    Labels are removed before the method is called.
    """
    train, held_out = data.split(seed, max_held_out=MAX_HELD_OUT)
    half, second = divide(held_out, seed)
    known = train.known
    task = Task(
        train=train.without_labels(),
        half=half.without_labels(),
        scored=known,
        seed=seed,
        max_epochs=max_epochs,
        python_other=python_other,
        threads=threads,
    )
    fit = METHODS[method].run(task)
    return {
        "epochs": fit.epochs,
        "wall_seconds": fit.seconds.wall if fit.seconds else None,
        "cpu_seconds": fit.seconds.cpu if fit.seconds else None,
        "n_train": train.data.n_obs,
        "n_scored": int(known.sum()),
        "n_halves": half.data.n_obs,
        "scores": embedding_scores(fit, known, train.labels[known], train.batch[known]),
        "count_split": {
            name: profile_scores(train, second, profiles)
            for name, profiles in fit.profiles.items()
        },
    }, fit.versions
