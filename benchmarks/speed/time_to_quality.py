"""Time of training until it reaches the final scores of another model."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from io import StringIO
from typing import Any

import numpy as np
from lightning.pytorch import Callback

from benchmarks.quality.label_scores import kmeans_scores, knn_accuracy, nearest
from benchmarks.quality.page import RESULTS
from benchmarks.shared.data import Dataset, load
from benchmarks.shared.results import rows
from benchmarks.shared.settings import N_NEIGHBORS, QUIET
from benchmarks.shared.timing import Seconds
from benchmarks.shared.training_steps import StopTraining, multidgd


class StopAtQuality(Callback):
    """Stops training when the representation reaches a target; scoring is not timed."""

    def __init__(self, is_reached: Callable[[Any], bool], start: Seconds) -> None:
        self.is_reached, self.start = is_reached, start
        self.scoring = Seconds(0.0, 0.0)
        self.reached: Seconds | None = None
        self.epochs = 0

    def _score(self, plan: Any) -> None:
        before = Seconds.now()
        if self.is_reached(plan.module):
            total = before.since(self.start)
            self.reached = Seconds(*(t - j for t, j in zip(total, self.scoring, strict=True)))
            raise StopTraining
        spent = Seconds.now().since(before)
        self.scoring = Seconds(*(a + b for a, b in zip(self.scoring, spent, strict=True)))

    def on_train_start(self, trainer: Any, plan: Any) -> None:
        self._score(plan)  # the initialisation may reach the target

    def on_train_epoch_end(self, trainer: Any, plan: Any) -> None:
        self.epochs += 1
        self._score(plan)


def final_rows(name: str, method: str) -> list[dict[str, Any]]:
    """Results of the quality benchmark for a method: seed, scores and seconds of each run."""
    path = RESULTS / f"{name}.json"
    found = [row for row in rows(path) if row["method"] == method]
    if not found:
        command = f"python -m benchmarks.quality {name} --methods {method}"
        raise FileNotFoundError(f"{path} has no results of {method}: run `{command}`")
    return found


def scores(z: np.ndarray, train: Dataset) -> tuple[float, float]:
    """KNN accuracy and NMI of k-means as in the quality benchmark."""
    known = train.known
    labels = train.labels[known]
    neighbours = nearest(z[known], N_NEIGHBORS)
    return knn_accuracy(neighbours, labels), kmeans_scores(z[known], labels)["kmeans_nmi"]


def time_to(name: str, target: dict[str, Any]) -> tuple[Seconds | None, str]:
    """Time of training until the kNN accuracy and NMI of another model, on its split."""
    train, _ = load(name).split(target["seed"])
    model = multidgd(train)
    goals = target["scores"]["knn"], target["scores"]["kmeans_nmi"]
    history: list[tuple[float, float]] = []

    def is_reached(module: Any) -> bool:
        z = module.representations.z[:, : module.n_latent].detach().cpu().numpy()
        history.append(scores(z, train))
        return all(found >= goal for found, goal in zip(history[-1], goals, strict=True))

    callback = StopAtQuality(is_reached, Seconds.now())
    with suppress(StopTraining), redirect_stdout(StringIO()):
        model.train(callbacks=[callback], **QUIET)
    last = " / ".join(f"{v:.3f}" for v in history[-1])
    goal = " / ".join(f"{v:.3f}" for v in goals)
    return callback.reached, f"{last} after {callback.epochs} epochs, target {goal}"
