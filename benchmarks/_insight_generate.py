"""How real drawn cells look: a classifier on per-cell statistics, and moments by feature."""

from __future__ import annotations

import argparse
import warnings

import mudata as md
import numpy as np
import scvi
from _data import load
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from multiDGD import MultiDGD

DATA = ("bmmc_multiome", "bmmc_cite")
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


def score(name: str, seed: int, likelihoods: dict[str, str] | None = None) -> list[str]:
    """Rows of the table: data, seed, source, AUC of all and by modality, correlations."""
    data = load(name).data
    scvi.settings.seed = seed
    MultiDGD.setup_mudata(data, batch_key="batch")
    model = MultiDGD(data, likelihoods=likelihoods)
    model.train(accelerator="cpu", enable_progress_bar=False, logger=False)
    real = {m: part.X.toarray() for m, part in data.mod.items()}
    rows = []
    for source in ("mixture", "cells"):
        drawn = model.sample(data.n_obs, from_=source)
        assert isinstance(drawn, md.MuData)
        found = {m: part.X.toarray() for m, part in drawn.mod.items()}
        aucs = [auc(list(real.values()), list(found.values()))]
        aucs += [auc([real[m]], [found[m]]) for m in real]
        r = [
            np.corrcoef(moment(real[m]), moment(found[m]))[0, 1]
            for m in real
            for moment in MOMENTS.values()
        ]
        figures = [f"{a:.3f}" for a in aucs] + [f"{x:.3f}" for x in r]
        rows.append(f"{name}\t{likelihoods or 'nb'}\t{seed}\t{source}\t" + "\t".join(figures))
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="*", default=list(DATA))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--likelihood", nargs=2, metavar=("MODALITY", "NAME"))
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    given = dict([arguments.likelihood]) if arguments.likelihood else None
    for name in arguments.data:
        for seed in arguments.seeds:
            for row in score(name, seed, given):
                print(row, flush=True)


if __name__ == "__main__":
    main()
