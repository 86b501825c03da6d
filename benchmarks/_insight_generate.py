"""How real drawn cells look: a classifier on per-cell statistics, and moments by feature."""

from __future__ import annotations

import numpy as np
import scvi
from _data import load
from _insight import QUIET, Figures, Task
from mudata import MuData
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from multiDGD import MultiDGD

MOMENTS = {
    "mean": lambda x: x.mean(0),
    "variance": lambda x: x.var(0),
    "zeros": lambda x: (x == 0).mean(0),
}


def statistics(x: np.ndarray) -> np.ndarray:
    """Total, detected features, zero fraction and top-feature shares of cells, shape (n, 6)."""
    total = np.maximum(x.sum(1), 1)
    top = -np.sort(-x, axis=1)
    shares = [top[:, :k].sum(1) / total for k in (1, 10, 50)]
    return np.stack([total, (x > 0).sum(1), (x == 0).mean(1), *shares], axis=1)


def auc(real: list[np.ndarray], drawn: list[np.ndarray]) -> float:
    """Cross-validated AUC of a random forest that tells drawn cells from real ones."""
    features = [np.hstack([statistics(x) for x in cells]) for cells in (real, drawn)]
    y = np.repeat([0, 1], [len(f) for f in features])
    forest = RandomForestClassifier(200, min_samples_leaf=5, random_state=0)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    p = cross_val_predict(forest, np.vstack(features), y, cv=folds, method="predict_proba")
    return float(roc_auc_score(y, p[:, 1]))


def generation(part: str, seed: int) -> dict[str, Figures]:
    """How well drawn cells are told from real ones, and correlations of moments by feature."""
    name, *how = part.split(", ")
    data = load(name).data
    if "fragments" in how:
        scvi.data.reads_to_fragments(data["atac"])
        data["atac"].X = data["atac"].layers["fragments"]
    scvi.settings.seed = seed
    MultiDGD.setup_mudata(data, batch_key="batch")
    model = MultiDGD(data, likelihoods="nb" if "nb" in how else None)
    model.train(**QUIET)
    real = {m: x.X.toarray() for m, x in data.mod.items()}
    lines = {}
    for source in ("mixture", "cells"):
        drawn = model.sample(data.n_obs, from_=source)
        assert isinstance(drawn, MuData)
        found = {m: x.X.toarray() for m, x in drawn.mod.items()}
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


TASKS = {
    "generation": Task(
        generation,
        ("bmmc_cite", "bmmc_cite, nb", "bmmc_multiome", "bmmc_multiome, fragments"),
        {"auc": "AUC", "mean": "means", "variance": "variances", "zeros": "zero fractions"},
        "As many cells from `sample` as there are real ones, from places drawn from the mixture or "
        "near those of real cells. *AUC*: of a random forest that tells them from real ones by "
        "total count, detected features and the shares of the most frequent features, "
        "cross-validated; 0.5 would be chance, and less than that are cells from the very places "
        'and libraries of real ones. *nb*: with `likelihoods="nb"`. '
        "*Fragments*: ATAC counts as `scvi.data.reads_to_fragments` makes them of the reads in the "
        "file. Then correlations over features of means, variances and fractions of zeros.",
    )
}
