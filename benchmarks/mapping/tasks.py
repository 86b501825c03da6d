"""Mapping tasks: input of a method, its output, and the scores.

The function of a task is called as ``function(method, seed, part)`` and returns scores. Data that
are withheld from the method (the modality to predict, the labels of query cells) are removed
before it is called, so that all methods have the same input.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import KNeighborsClassifier

from benchmarks.shared.data import Dataset, load
from benchmarks.shared.missing_modalities import only
from benchmarks.shared.package_internals import kmeans_nmi_ari
from benchmarks.shared.scores import prediction_scores
from benchmarks.shared.settings import N_NEIGHBORS

Figures = dict[str, float]
PROTOCOLS = (
    "sc_celseq2",
    "sc_celseq2_5cl_p1",
    "sc_celseq2_5cl_p2",
    "sc_celseq2_5cl_p3",
    "sc_dropseq",
)


@dataclass(frozen=True)
class Task:
    """A task: its function, its parts, and the columns of its table by key of the score."""

    function: Callable[..., Figures]
    parts: Sequence[str]
    columns: dict[str, str]


@dataclass
class Transfer:
    """Reference and query cells in one space; ``labels`` of the query if the method predicts them."""

    reference: np.ndarray
    query: np.ndarray
    labels: np.ndarray | None = None


def protein(method: Callable[..., np.ndarray], seed: int, part: str) -> Figures:
    """Predict protein counts of 10 % of the cells from their RNA."""
    train, new = load("pbmc10k_cite").split(seed)
    predicted = method(train, only(new, "rna"), "prot", seed)
    scores = prediction_scores({"prot": predicted}, new)
    return {k: scores[k] for k in ("prot_r_by_protein", "prot_r")}


def multiome(method: Callable[..., dict[str, np.ndarray]], seed: int, part: str) -> Figures:
    """Predict accessibility of 10 % of the cells from their RNA, and RNA from accessibility."""
    train, new = load("bmmc_multiome").split(seed)
    predictions = method(train, {m: only(new, m) for m in ("rna", "atac")}, seed)
    scores = prediction_scores(predictions, new)
    keys = ("atac_auprc", "rna_r_by_gene", "rna_r", "rna_rmse", "atac_prevalence")
    return {k: scores[k] for k in keys}


def protocols(method: Callable[..., Transfer], seed: int, part: str) -> Figures:
    """Predict types of the cells of one protocol from the four others."""
    data = load("sc_mixology_5batch_rna")
    return _transfer(method, data, data.batch == part, seed)


def donors(method: Callable[..., Transfer], seed: int, part: str) -> Figures:
    """Predict types of the cells of the second donor from the first."""
    data = load("bmmc_multiome")
    return _transfer(method, data, data.batch == "s1d2", seed)


def _transfer(
    method: Callable[..., Transfer], data: Dataset, is_query: np.ndarray, seed: int
) -> Figures:
    train = data.subset(np.flatnonzero(~is_query))
    query = data.subset(np.flatnonzero(is_query))
    found = method(train, query.without_labels(), seed)
    nearest = _neighbours(found.reference, train.labels, found.query)
    both = np.concatenate([train.labels, query.labels])
    space = np.concatenate([found.reference, found.query])
    figures = {
        "knn_accuracy": float(np.mean(nearest == query.labels)),
        "kmeans_ari": float(kmeans_nmi_ari(space, both, n_clusters=data.n_types, seed=0)[1]),
    }
    # Methods without labels are scored by those of the nearest neighbours.
    labels = nearest if found.labels is None else found.labels
    figures["label_accuracy"] = float(np.mean(labels == query.labels))
    figures["label_ari"] = float(adjusted_rand_score(query.labels, labels))
    return figures


def _neighbours(reference: np.ndarray, labels: np.ndarray, query: np.ndarray) -> np.ndarray:
    return KNeighborsClassifier(N_NEIGHBORS).fit(reference, labels).predict(query)


TASKS: dict[str, Task] = {
    "protein": Task(protein, ("",), {"prot_r_by_protein": "r/prot", "prot_r": "prot r"}),
    "multiome": Task(
        multiome,
        ("",),
        {"atac_auprc": "auprc", "rna_r_by_gene": "r/gene", "rna_r": "rna r", "rna_rmse": "rmse"},
    ),
    "protocols": Task(
        protocols,
        PROTOCOLS,
        {
            "label_accuracy": "accuracy",
            "label_ari": "ari",
            "knn_accuracy": "knn",
            "kmeans_ari": "k-means ari",
        },
    ),
    "donors": Task(donors, ("",), {"label_accuracy": "accuracy", "knn_accuracy": "knn"}),
}
