"""Detection of linked peaks among neighbours that are open in the same cells."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pandas as pd
import scvi
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.preprocessing import StandardScaler

from benchmarks.insight.task import QUIET_CPU, Figures, Task
from benchmarks.shared.link_baselines import poisson_z, signac_z
from multiDGD import MultiDGD
from multiDGD.datasets import simulate_coaccessible
from multiDGD.inference import associations
from multiDGD.model.core._random import draw_cells
from multiDGD.model.links import _conditional as model_links
from multiDGD.model.links._positions import find_positions
from multiDGD.stats import SingleEffects, link_peaks

PARTS = {"fluctuations": {}, "states only": {"fluctuation_sd": 0.0}}
N_GENES, N_CELLS = 100, 500
WINDOW = 500_000
CALLED = 0.8


def links_conditional(part: str, seed: int) -> dict[str, Figures]:
    """Average precision over all pairs of a gene and a peak in its window."""
    data = simulate_coaccessible(seed=seed, **PARTS[part])
    scvi.settings.seed = seed
    MultiDGD.setup_mudata(data)
    model = MultiDGD(data)
    model.train(**QUIET_CPU)
    pairs, flat = (_conditional(model, use_distance) for use_distance in (True, False))
    with patch.object(model_links, "link_peaks", _each_alone):
        alone, alone_flat = (_conditional(model, use_distance) for use_distance in (True, False))
    truth = data.uns["truth"]["links"].set_index(["gene", "peak"]).index
    is_linked = pairs.index.isin(truth)
    of_gene, of_peak = (
        data[m].var_names.get_indexer(pairs.index.get_level_values(level))
        for m, level in (("rna", "gene"), ("atac", "peak"))
    )
    rna, atac = (data[m].X.toarray() for m in ("rna", "atac"))
    types = pd.get_dummies(data.obs["cell_type"], drop_first=True).to_numpy(float)
    nearness = -np.log(np.abs(pairs["distance"].to_numpy()) + 5_000)
    scores = {
        "Signac-like correlation": signac_z(rna, atac, of_gene, of_peak, seed),
        "SCENT-like regression": poisson_z(rna, atac, of_gene, of_peak, None),
        "SCENT-like regression, within types": poisson_z(rna, atac, of_gene, of_peak, types),
        "gene2peak, association": pairs["association"].to_numpy(),
    }
    lines = {
        name: {
            "ap": average_precision_score(is_linked, score),
            "ap_distance": _with_distance(score, nearness, is_linked),
        }
        for name, score in scores.items()
    }
    lines["distance alone"] = {"ap_distance": average_precision_score(is_linked, nearness)}
    lines["gene2peak, conditional, neighbours taken as independent"] = {
        "ap": average_precision_score(is_linked, alone_flat["probability"].reindex(pairs.index)),
        "ap_distance": average_precision_score(
            is_linked, alone["probability"].reindex(pairs.index)
        ),
        **_calibration(alone["probability"].reindex(pairs.index).to_numpy(), is_linked),
    }
    probability = pairs["probability"].to_numpy()
    lines["gene2peak, conditional"] = {
        "ap": average_precision_score(is_linked, flat["probability"].reindex(pairs.index)),
        "ap_distance": average_precision_score(is_linked, probability),
        **_calibration(probability, is_linked),
    }
    return {name: {k: float(v) for k, v in line.items()} for name, line in lines.items()}


def _conditional(model: MultiDGD, use_distance: bool) -> pd.DataFrame:
    """Peaks in the windows of the genes, as by ``gene2peak`` for each gene but in one pass."""
    names = {m: model.adata[m].var_names for m in ("rna", "atac")}
    manager, cells = model.adata_manager, np.arange(model.adata.n_obs)
    rng = np.random.default_rng(0)
    batches = list(model._represented_batches(manager, draw_cells(cells, N_CELLS, rng), None))
    known = find_positions(manager, *names.items(), None)
    genes = np.arange(N_GENES)
    found = model._conditional_links(
        manager, cells, batches, genes, known, WINDOW, use_distance, tuple(names), rng, None
    )
    association = associations(model.module, batches, torch.from_numpy(genes), *names).correlation
    return pd.concat(
        {
            names["rna"][gene]: pd.DataFrame(
                {
                    "probability": links.probability,
                    "association": association[gene, peaks].numpy(),
                    "distance": known.distances(gene, peaks),
                },
                index=names["atac"][peaks],
            )
            for gene, (peaks, links) in zip(genes, found, strict=True)
        },
        names=["gene", "peak"],
    )


def _each_alone(
    correlation_p: np.ndarray, correlation_pp: np.ndarray, *args: object
) -> SingleEffects:
    """Links as if the peaks were independent of each other."""
    return link_peaks(correlation_p, np.eye(len(correlation_p)), *args)


def _with_distance(score: np.ndarray, nearness: np.ndarray, is_linked: np.ndarray) -> float:
    """Average precision of a logistic regression on score and distance, fitted to the truth."""
    x = StandardScaler().fit_transform(np.stack([score, nearness], axis=1))
    fitted = LogisticRegression().fit(x, is_linked)
    return average_precision_score(is_linked, fitted.decision_function(x))


def _calibration(probability: np.ndarray, is_linked: np.ndarray) -> Figures:
    bins = np.digitize(probability, [0.05, 0.1, 0.2, 0.4, 0.6, 0.8])
    error = sum(abs((probability - is_linked)[bins == b].sum()) for b in np.unique(bins)) / len(
        probability
    )
    is_called = probability >= CALLED
    return {
        "ratio": probability.sum() / is_linked.sum(),
        "error": error,
        "mean": probability[is_called].mean(),
        "precision": is_linked[is_called].mean(),
        "recall": (is_linked & is_called).sum() / is_linked.sum(),
    }


TASK = Task(
    links_conditional,
    tuple(PARTS),
    {
        "ap": "AUPRC",
        "ap_distance": "with distance",
        "ratio": "expected / true links",
        "error": "calibration error",
        "mean": "mean of p ≥ 0.8",
        "precision": "linked if p ≥ 0.8",
        "recall": "found if p ≥ 0.8",
    },
)
