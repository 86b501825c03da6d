"""Simulated against real cells: a classifier on statistics of cells, and moments of features."""

from __future__ import annotations

import numpy as np
import scvi
from mudata import MuData
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from benchmarks.insight.task import QUIET_CPU, Figures, Task
from benchmarks.shared.data import load
from multiDGD import MultiDGD

MOMENTS = {
    "mean": lambda x: x.mean(0),
    "variance": lambda x: x.var(0),
    "zeros": lambda x: (x == 0).mean(0),
}


def statistics(x: np.ndarray) -> np.ndarray:
    """Library size, detected features, zero fraction, top-feature shares, shape ``(n, 6)``."""
    total = np.maximum(x.sum(1), 1)
    top = -np.sort(-x, axis=1)
    shares = [top[:, :k].sum(1) / total for k in (1, 10, 50)]
    return np.stack([total, (x > 0).sum(1), (x == 0).mean(1), *shares], axis=1)


def auc(real: list[np.ndarray], simulated: list[np.ndarray]) -> float:
    """Cross-validated AUC of a random forest that separates simulated from real cells."""
    features = [np.hstack([statistics(x) for x in cells]) for cells in (real, simulated)]
    y = np.repeat([0, 1], [len(f) for f in features])
    forest = RandomForestClassifier(200, min_samples_leaf=5, random_state=0)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    p = cross_val_predict(forest, np.vstack(features), y, cv=folds, method="predict_proba")
    return float(roc_auc_score(y, p[:, 1]))


def generation(part: str, seed: int) -> dict[str, Figures]:
    """AUC of simulated against real cells, and correlations of moments over features."""
    name, *options = part.split(", ")
    data = load(name).data
    if "fragments" in options:
        scvi.data.reads_to_fragments(data["atac"])
        data["atac"].X = data["atac"].layers["fragments"]
    scvi.settings.seed = seed
    MultiDGD.setup_mudata(data, batch_key="batch")
    model = MultiDGD(data, likelihoods="nb" if "nb" in options else None)
    model.train(**QUIET_CPU)
    real = {m: x.X.toarray() for m, x in data.mod.items()}
    lines = {}
    for source in ("mixture", "cells"):
        simulated = model.sample(data.n_obs, from_=source)
        assert isinstance(simulated, MuData)
        found = {m: x.X.toarray() for m, x in simulated.mod.items()}
        lines[f"from_={source!r}"] = {"auc": auc(list(real.values()), list(found.values()))}
        for m in real:
            lines[f"from_={source!r}, {m}"] = {
                "auc": auc([real[m]], [found[m]]),
                **{
                    name: float(np.corrcoef(moment(real[m]), moment(found[m]))[0, 1])
                    for name, moment in MOMENTS.items()
                },
            }
    return lines


TASK = Task(
    generation,
    ("bmmc_cite", "bmmc_cite, nb", "bmmc_multiome", "bmmc_multiome, fragments"),
    {"auc": "AUC", "mean": "means", "variance": "variances", "zeros": "zero fractions"},
)
