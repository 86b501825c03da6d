"""Scores of one fit: separation of types, mixing of batches, prediction of held-out cells."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import average_precision_score
from sklearn.neighbors import KNeighborsClassifier

from benchmarks.shared.data import Dataset
from benchmarks.shared.methods import Fit
from benchmarks.shared.package_internals import batch_mixing, kmeans_nmi_ari, knn_accuracy

N_NEIGHBORS = 15
#: Largest number of entries for the score of accessibility (cells drawn with a fixed seed).
MAX_ATAC_ENTRIES = 5_000_000


def evaluate(fit: Fit, train: Dataset, held_out: Dataset) -> dict[str, float]:
    """All scores that the fit allows; cells of unknown type are not scored by label."""
    return {**_embedding_scores(fit, train, held_out), **_prediction_scores(fit, held_out)}


def _embedding_scores(fit: Fit, train: Dataset, held_out: Dataset) -> dict[str, float]:
    if fit.embedding is None:
        return {}
    known, labels = train.known, train.labels
    z, y = fit.embedding[known], labels[known]
    nmi, ari = kmeans_nmi_ari(z, y, n_clusters=train.n_types, seed=0)
    scores = {
        "knn": float(knn_accuracy(z, y, n_neighbors=N_NEIGHBORS, n_splits=5)),
        "nmi": float(nmi),
        "ari": float(ari),
    }
    if train.n_batches > 1:
        mixing = batch_mixing(z, train.batch[known], y, n_neighbors=N_NEIGHBORS)
        scores["batch_mixing"] = float(mixing)
    if fit.held_out_embedding is not None:
        classifier = KNeighborsClassifier(N_NEIGHBORS).fit(z, y)
        known = held_out.known
        predicted = classifier.predict(fit.held_out_embedding[known])
        scores["knn_held_out"] = float(np.mean(predicted == held_out.labels[known]))
    return scores


def _prediction_scores(fit: Fit, held_out: Dataset) -> dict[str, float]:
    scores: dict[str, float] = {}
    if "rna" in fit.predictions:
        counts = held_out.counts("rna").toarray()
        truth = np.log1p(1e4 * counts / np.maximum(counts.sum(1, keepdims=True), 1))
        predicted = np.log1p(1e4 * fit.predictions["rna"].astype(np.float64))
        scores["rna_r"] = mean_pearson(truth, predicted)
        scores["rna_r_by_gene"] = mean_pearson(truth.T, predicted.T)
        scores["rna_rmse"] = float(np.sqrt(np.mean((truth - predicted) ** 2)))
    if "prot" in fit.predictions:
        truth = np.log1p(held_out.counts("prot").toarray())
        predicted = np.log1p(fit.predictions["prot"].astype(np.float64))
        scores["prot_r"] = mean_pearson(truth, predicted)
        scores["prot_r_by_protein"] = mean_pearson(truth.T, predicted.T)
    if "atac" in fit.predictions:
        accessible = held_out.counts("atac") > 0
        n_cells = max(1, min(accessible.shape[0], MAX_ATAC_ENTRIES // accessible.shape[1]))
        rows = np.random.default_rng(0).permutation(accessible.shape[0])[:n_cells]
        truth = accessible[rows].toarray().ravel()
        predicted = fit.predictions["atac"][rows].ravel()
        scores["atac_auprc"] = float(average_precision_score(truth, predicted))
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
