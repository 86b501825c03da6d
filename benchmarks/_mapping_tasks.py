"""The tasks of ``mapping.py``: what a method is given, what it must return, how that is scored.

A task is a function ``(solve, seed, part) -> figures``. ``solve`` is the method; what it must not
see (the modality to predict, the labels of new cells) is taken away before it is called, so all
methods get the same cells and none can look. ``PARTS`` names the parts of a task, which are run one
by one and averaged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from _data import LABEL_KEY, Dataset, load
from _evaluate import N_NEIGHBORS, evaluate
from _mapping_data import MOSAICS, load_mosaic, only
from _methods import Fit
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import KNeighborsClassifier

from multiDGD._scores import batch_mixing, kmeans_nmi_ari

Figures = dict[str, float]
PROTOCOLS = (
    "sc_celseq2",
    "sc_celseq2_5cl_p1",
    "sc_celseq2_5cl_p2",
    "sc_celseq2_5cl_p3",
    "sc_dropseq",
)


@dataclass
class Transfer:
    """Reference and query cells in one space; ``labels`` of the query where a method says them."""

    reference: np.ndarray
    query: np.ndarray
    labels: np.ndarray | None = None


def without_labels(data: Dataset) -> Dataset:
    """The same cells without their types."""
    bare = data.data.copy()
    del bare.obs[LABEL_KEY]
    return replace(data, data=bare)


def protein(solve: Callable[..., np.ndarray], seed: int, part: str) -> Figures:
    """Expected protein counts of 10 % of the cells from their RNA."""
    train, new = load("pbmc10k_cite").split(seed)
    guess = solve(train, only(new, "rna"), "prot", seed)
    scores = evaluate(Fit(None, predictions={"prot": guess}), train, new)
    return {k: scores[k] for k in ("prot_r_by_protein", "prot_r")}


def multiome(solve: Callable[..., dict[str, np.ndarray]], seed: int, part: str) -> Figures:
    """Accessibility of 10 % of the cells from their RNA, and their RNA from accessibility."""
    train, new = load("bmmc_multiome").split(seed)
    predictions = solve(train, {m: only(new, m) for m in ("rna", "atac")}, seed)
    scores = evaluate(Fit(None, predictions=predictions), train, new)
    keys = ("atac_auprc", "rna_r_by_gene", "rna_r", "rna_rmse", "atac_prevalence")
    return {k: scores[k] for k in keys}


def protocols(solve: Callable[..., Transfer], seed: int, part: str) -> Figures:
    """Types of the cells of one protocol from those of the four others."""
    data = load("sc_mixology_5batch_rna")
    return _transfer(solve, data, data.batch == part, seed)


def donors(solve: Callable[..., Transfer], seed: int, part: str) -> Figures:
    """Types of the second donor's cells from the first's."""
    data = load("bmmc_multiome")
    return _transfer(solve, data, data.batch == "s1d2", seed)


def _transfer(
    solve: Callable[..., Transfer], data: Dataset, is_query: np.ndarray, seed: int
) -> Figures:
    train = data.subset(np.flatnonzero(~is_query))
    query = data.subset(np.flatnonzero(is_query))
    found = solve(train, without_labels(query), seed)
    nearest = _neighbours(found.reference, train.labels, found.query)
    both = np.concatenate([train.labels, query.labels])
    space = np.concatenate([found.reference, found.query])
    figures = {
        "knn_accuracy": float(np.mean(nearest == query.labels)),
        "kmeans_ari": float(kmeans_nmi_ari(space, both, n_clusters=data.n_types, seed=0)[1]),
    }
    # A method that says no labels itself is given those of the neighbours.
    labels = nearest if found.labels is None else found.labels
    figures["label_accuracy"] = float(np.mean(labels == query.labels))
    figures["label_ari"] = float(adjusted_rand_score(query.labels, labels))
    return figures


def mosaic(solve: Callable[..., np.ndarray], seed: int, part: str) -> Figures:
    """Cells with one modality among those with the other, by the types of the neighbours."""
    data, has = load_mosaic(part, seed)
    return mosaic_figures(solve(without_labels(data), seed), data, has)


def mosaic_figures(z: np.ndarray, data: Dataset, has: np.ndarray) -> Figures:
    """Scores of an embedding; ``has`` is ``(n_cells, 2)``, which cell has which modality."""
    known, labels = data.known, data.labels
    groups = {
        "first": has[:, 0] & ~has[:, 1] & known,
        "second": has[:, 1] & ~has[:, 0] & known,
        "paired": has.all(1) & known,
    }
    found = {}
    pairs = [("first", "second"), ("second", "first"), ("first", "paired"), ("second", "paired")]
    for new, old in pairs:
        a, b = groups[old], groups[new]
        if np.isfinite(z[a | b]).all():
            guess = _neighbours(z[a], labels[a], z[b])
            found[f"knn_{new}_among_{old}"] = float(np.mean(guess == labels[b]))
    single = groups["first"] | groups["second"]
    if np.isfinite(z[single]).all():
        found["mixing"] = float(
            batch_mixing(z[single], has[single, 0], labels[single], n_neighbors=N_NEIGHBORS)
        )
    return found


def _neighbours(reference: np.ndarray, labels: np.ndarray, query: np.ndarray) -> np.ndarray:
    return KNeighborsClassifier(N_NEIGHBORS).fit(reference, labels).predict(query)


#: Name on the command line -> (function, its parts, figures in the table).
TASKS: dict[str, tuple[Callable[..., Figures], Sequence[str], dict[str, str]]] = {
    "protein": (protein, ("",), {"prot_r_by_protein": "r/prot", "prot_r": "prot r"}),
    "multiome": (
        multiome,
        ("",),
        {"atac_auprc": "auprc", "rna_r_by_gene": "r/gene", "rna_r": "rna r", "rna_rmse": "rmse"},
    ),
    "protocols": (
        protocols,
        PROTOCOLS,
        {
            "label_accuracy": "accuracy",
            "label_ari": "ari",
            "knn_accuracy": "knn",
            "kmeans_ari": "k-means ari",
        },
    ),
    "donors": (donors, ("",), {"label_accuracy": "accuracy", "knn_accuracy": "knn"}),
    "mosaic": (
        mosaic,
        MOSAICS,
        {
            "knn_first_among_second": "1 in 2",
            "knn_second_among_first": "2 in 1",
            "knn_first_among_paired": "1 in both",
            "knn_second_among_paired": "2 in both",
            "mixing": "mixing",
        },
    ),
}
