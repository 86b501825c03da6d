"""Wall time until a training is as good as another one was at its end."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from _data import Dataset, load
from _evaluate import N_NEIGHBORS
from _methods import QUIET
from _steps import Enough, multidgd
from _timing import Seconds
from lightning.pytorch import Callback

from multiDGD._scores import kmeans_nmi_ari, knn_accuracy


class UntilAsGood(Callback):
    """Ends a training when its representation is good enough; judging it is not timed."""

    def __init__(self, good_enough: Callable[[Any], bool], start: Seconds) -> None:
        self.good_enough, self.start = good_enough, start
        self.judging = Seconds(0.0, 0.0)
        self.reached: Seconds | None = None
        self.epochs = 0

    def _judge(self, plan: Any) -> None:
        before = Seconds.now()
        if self.good_enough(plan.module):
            total = before.since(self.start)
            self.reached = Seconds(*(t - j for t, j in zip(total, self.judging, strict=True)))
            raise Enough
        spent = Seconds.now().since(before)
        self.judging = Seconds(*(a + b for a, b in zip(self.judging, spent, strict=True)))

    def on_train_start(self, trainer: Any, plan: Any) -> None:
        self._judge(plan)  # the warm start alone may do

    def on_train_epoch_end(self, trainer: Any, plan: Any) -> None:
        self.epochs += 1
        self._judge(plan)


def finals(results: Path, name: str, method: str) -> list[dict[str, Any]]:
    """What ``quality.py`` found for a method: seed, scores and times of every run."""
    path = results / f"{name}.{method}.json"
    if not path.exists():
        raise FileNotFoundError(
            f"{path} is missing: `quality.py {name} --methods {method} --out {path}`"
        )
    return [row for row in json.loads(path.read_text())["rows"] if row["method"] == method]


def scores(z: np.ndarray, train: Dataset) -> tuple[float, float]:
    """KNN accuracy and NMI as in ``quality.py``."""
    known = train.known
    labels = train.labels[known]
    nmi, _ = kmeans_nmi_ari(z[known], labels, n_clusters=train.n_types, seed=0)
    return float(knn_accuracy(z[known], labels, n_neighbors=N_NEIGHBORS, n_splits=5)), float(nmi)


def time_to(name: str, target: dict[str, Any]) -> tuple[Seconds | None, str]:
    """Seconds of our training until it has the other's kNN accuracy and NMI, on its split."""
    train, _ = load(name).split(target["seed"])
    model = multidgd(train, n_components=train.n_types)
    wanted = target["scores"]["knn"], target["scores"]["nmi"]
    history: list[tuple[float, float]] = []

    def good_enough(module: Any) -> bool:
        z = module.representations.z[:, : module.n_latent].detach().cpu().numpy()
        history.append(scores(z, train))
        return all(found >= want for found, want in zip(history[-1], wanted, strict=True))

    watch = UntilAsGood(good_enough, Seconds.now())
    with suppress(Enough), redirect_stdout(StringIO()):
        model.train(callbacks=[watch], **QUIET)
    best = " / ".join(f"{v:.3f}" for v in history[-1])
    goal = " / ".join(f"{v:.3f}" for v in wanted)
    return watch.reached, f"{watch.epochs} epochs: {best} for {goal}"
