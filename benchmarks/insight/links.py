"""Detection of the peaks that are linked to a gene."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scvi
from anndata import AnnData
from sklearn.metrics import roc_auc_score

from benchmarks.insight.task import QUIET_CPU, Figures, Task
from multiDGD import MultiDGD
from multiDGD.datasets import simulate_multiome

SIZES = {"1,000 cells": 1000, "4,000 cells": 4000}
N_GENES = 50


def links(part: str, seed: int) -> dict[str, Figures]:
    """AUROC of linked against other peaks for each score of a gene and a peak."""
    data = simulate_multiome(SIZES[part], n_genes=200, n_peaks=600, seed=seed)
    scvi.settings.seed = seed
    MultiDGD.setup_mudata(data, batch_key="batch")
    model = MultiDGD(data)
    model.train(**QUIET_CPU)
    peaks = data["atac"].var_names
    truth = data.uns["truth"]["links"]
    genes = np.random.default_rng(seed).choice(data["rna"].var_names, N_GENES, replace=False)
    raw = _correlation(*(_log_normalised(data[m]) for m in ("rna", "atac")))
    imputed = _correlation(
        *(
            np.log(model.get_normalized_expression(modality=m, return_numpy=True) + 1e-9)
            for m in ("rna", "atac")
        )
    )
    lines: dict[str, list[float]] = {}
    for gene in genes:
        linked = peaks.isin(truth["peak"][truth["gene"] == gene])
        at = data["rna"].var_names.get_loc(gene)
        change = model.perturb(gene, n_controls=10, n_samples=2)
        found: dict[str, np.ndarray | pd.Series] = {
            "correlation of log-normalised counts": raw[at],
            "correlation of decoded values": imputed[at],
            "gene2peak": model.gene2peak(gene, n_controls=2).iloc[:, 0].reindex(peaks),
            "gene2peak, as published": -model.gene2peak(gene, method="published", n_controls=2)
            .iloc[:, 0]
            .reindex(peaks),
            "perturb": -change["z_score"][change["modality"] == "atac"].reindex(peaks),
        }
        for name, score in found.items():
            lines.setdefault(name, []).append(roc_auc_score(linked, score))
    return {name: {"auroc": float(np.mean(values))} for name, values in lines.items()}


def _log_normalised(part: AnnData) -> np.ndarray:
    x = part.X.toarray()
    return np.log1p(x / x.sum(1, keepdims=True) * 1e4)


def _correlation(a_nf: np.ndarray, b_ng: np.ndarray) -> np.ndarray:
    a, b = ((x - x.mean(0)) / np.maximum(x.std(0), 1e-12) for x in (a_nf, b_ng))
    return a.T @ b / len(a)


TASK = Task(links, tuple(SIZES), {"auroc": "AUROC"})
