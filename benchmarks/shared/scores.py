"""Scores of predicted values of held-out cells."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import average_precision_score

from benchmarks.shared.data import Dataset

#: Largest number of entries for the score of accessibility (cells drawn with a fixed seed).
MAX_ATAC_ENTRIES = 5_000_000


def prediction_scores(predictions: dict[str, np.ndarray], held_out: Dataset) -> dict[str, float]:
    """Scores of predicted values of held-out cells.

    ``rna`` are profiles (rows sum to 1), ``atac`` expected accessibility on any increasing scale,
    and ``prot`` expected counts, each of shape ``(n_cells, n_features)``.
    """
    scores: dict[str, float] = {}
    if "rna" in predictions:
        counts = held_out.counts("rna").toarray()
        truth = np.log1p(1e4 * counts / np.maximum(counts.sum(1, keepdims=True), 1))
        predicted = np.log1p(1e4 * predictions["rna"].astype(np.float64))
        scores["rna_r"] = mean_pearson(truth, predicted)
        scores["rna_r_by_gene"] = mean_pearson(truth.T, predicted.T)
        scores["rna_rmse"] = float(np.sqrt(np.mean((truth - predicted) ** 2)))
    if "prot" in predictions:
        truth = np.log1p(held_out.counts("prot").toarray())
        predicted = np.log1p(predictions["prot"].astype(np.float64))
        scores["prot_r"] = mean_pearson(truth, predicted)
        scores["prot_r_by_protein"] = mean_pearson(truth.T, predicted.T)
    if "atac" in predictions:
        accessible = held_out.counts("atac") > 0
        n_cells = max(1, min(accessible.shape[0], MAX_ATAC_ENTRIES // accessible.shape[1]))
        rows = np.random.default_rng(0).permutation(accessible.shape[0])[:n_cells]
        truth = accessible[rows].toarray()
        predicted = predictions["atac"][rows]
        scores["atac_r"] = mean_pearson(truth, predicted)
        scores["atac_r_by_peak"] = mean_pearson(truth.T, predicted.T)
        scores["atac_auprc"] = float(average_precision_score(truth.ravel(), predicted.ravel()))
        scores["atac_prevalence"] = float(truth.mean())
    return scores


def mean_pearson(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Pearson correlation of each row with its prediction, averaged over rows.

    Rows with constant truth have no correlation and are omitted. A constant prediction of a
    varying row counts as 0.
    """
    t = truth - truth.mean(1, keepdims=True)
    g = predicted - predicted.mean(1, keepdims=True)
    t_norm, g_norm = np.linalg.norm(t, axis=1), np.linalg.norm(g, axis=1)
    varies = t_norm > 1e-8
    r = np.divide(
        (t * g).sum(1), t_norm * g_norm, out=np.zeros(len(t)), where=(g_norm > 1e-8) & varies
    )
    return float(r[varies].mean())
