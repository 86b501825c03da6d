"""Perturbations in silico: known regulators, agreement of donors, and simple methods."""

from __future__ import annotations

from itertools import combinations

import mudata
import numpy as np
import pandas as pd
import scvi
from anndata import AnnData
from scipy.sparse import csr_matrix
from scipy.special import softmax
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from benchmarks.insight.task import QUIET_CPU, Figures, Task
from benchmarks.shared.data import load
from multiDGD import MultiDGD

#: Lines of the tables, by column of ``perturb``.
METHODS = {
    "control_mean": "mean of other genes",
    "lfc_additive": "additive shift",
    "lfc_linear": "linear model on principal components",
    "lfc": "perturb",
    "excess": "perturb, less the mean of other genes",
}
N_GENES, N_PEAKS, N_TARGETS = 300, 300, 15
N_REGULATORS, N_DONOR_GENES = 20, 20
SIMULATED = {"2,000 cells": 2000}


def regulators(part: str, seed: int) -> dict[str, Figures]:
    """Predicted against true changes of all features when a regulator is halved."""
    data, effect_rf, change_rf = simulate(SIMULATED[part], seed)
    model = fit(data, seed)
    scores = []
    for r, true_f in enumerate(change_rf):
        table = predicted(model, f"gene_{r}")
        others = np.arange(N_GENES + N_PEAKS) != r
        is_target = effect_rf[r] != 0
        for column in METHODS:
            found_f = table[column].to_numpy()
            score = {
                "r": np.corrcoef(found_f[others], true_f[others])[0, 1],
                "auroc": roc_auc_score(is_target[others], np.abs(found_f[others])),
                "error": np.square(found_f - true_f)[others].sum()
                / np.square(true_f[others]).sum(),
            }
            scores.append({"method": METHODS[column], **score})
    means = pd.DataFrame(scores).groupby("method", sort=False).mean()
    return {method: row.to_dict() for method, row in means.iterrows()}


def donors(part: str, seed: int) -> dict[str, Figures]:
    """Rank correlation between models of single donors, for the same gene and for others."""
    data = load(part).data
    models = [
        fit(data[data.obs["batch"] == batch].copy(), seed) for batch in data.obs["batch"].unique()
    ]
    x = data["rna"].X
    mean_f = np.asarray(x.mean(0)).ravel()
    excess_f = np.asarray(x.power(2).mean(0)).ravel() - mean_f**2 - mean_f
    genes = data["rna"].var_names[np.argsort(-excess_f)[:N_DONOR_GENES]]
    tables = [
        [predicted(model, gene).drop(index=genes, level=1) for gene in genes] for model in models
    ]
    found: dict[str, Figures] = {}
    for column in METHODS:
        agreement = []
        for one, two in combinations(tables, 2):
            columns = [t[column].to_numpy() for t in (*one, *two)]
            agreement.append(spearmanr(np.stack(columns, axis=1))[0][: len(one), len(one) :])
        same = np.eye(len(genes), dtype=bool)
        found[METHODS[column]] = {
            "same": float(np.mean([a[same].mean() for a in agreement])),
            "others": float(np.mean([a[~same].mean() for a in agreement])),
            "first": float(np.mean([(a.argmax(1) == np.arange(len(genes))) for a in agreement])),
        }
    return found


def fit(data: mudata.MuData, seed: int) -> MultiDGD:
    """Train a model with the defaults, with the batches where there are several."""
    scvi.settings.seed = seed
    several = "batch" in data.obs and data.obs["batch"].nunique() > 1
    MultiDGD.setup_mudata(data, batch_key="batch" if several else None)
    model = MultiDGD(data)
    model.train(**QUIET_CPU)
    return model


def predicted(model: MultiDGD, gene: str) -> pd.DataFrame:
    """All predictions of the changes of features when a gene is halved."""
    table = model.perturb(gene, n_samples=2, baselines=True, silent=True)
    table["excess"] = table["lfc"] - table["control_mean"]
    # In the order of the data: genes and proteins may have the same name.
    order = [(m, name) for m, names in model.summary.features.items() for name in names]
    return table.set_index(["modality", table.index]).loc[order]


def simulate(n_cells: int, seed: int) -> tuple[mudata.MuData, np.ndarray, np.ndarray]:
    """Simulate a multiome in which genes regulate features.

    The second and third results are the effects of the regulators, and the log2 fold change of
    each feature's share if the mean of the regulator is halved, shape ``(regulators, features)``.

    The logarithm of a regulator's mean varies over cell types, as other features do, and by itself.
    Each regulator adds its level, times an effect of -1 or 1, to the logarithms of its targets.
    """
    rng = np.random.default_rng(seed)
    n_features = N_GENES + N_PEAKS
    effect_rf = np.zeros((N_REGULATORS, n_features), np.float32)
    for r in range(N_REGULATORS):
        targets = rng.choice(np.arange(N_REGULATORS, n_features), N_TARGETS, replace=False)
        effect_rf[r, targets] = rng.choice([-1, 1], N_TARGETS)
    types = rng.integers(0, 5, n_cells)
    level_nf = rng.normal(0, 0.7, (5, n_features))[types] + rng.normal(0, 1, n_features)
    own_nr = rng.normal(0, 0.7, (n_cells, N_REGULATORS))
    # Regulators are expressed enough for their counts to be informative.
    level_nf[:, :N_REGULATORS] += own_nr + 1
    centred_nr = level_nf[:, :N_REGULATORS] - level_nf[:, :N_REGULATORS].mean(0)
    level_nf += centred_nr @ effect_rf
    parts = {}
    change_rf = -effect_rf
    change_rf[np.arange(N_REGULATORS), np.arange(N_REGULATORS)] = -1
    for name, columns in {
        "rna": slice(N_GENES),
        "atac": slice(N_GENES, n_features),
    }.items():
        share_nf = softmax(level_nf[:, columns], axis=1)
        size_n1 = rng.lognormal(np.log(3000), 0.3, (n_cells, 1))
        rate = size_n1 * share_nf * rng.gamma(4, 1 / 4, share_nf.shape)
        counts = csr_matrix(rng.poisson(rate).astype(np.float32))
        prefix = {"rna": "gene", "atac": "peak"}[name]
        var = pd.DataFrame(index=[f"{prefix}_{j}" for j in range(counts.shape[1])])
        obs = pd.DataFrame(index=[f"cell_{i}" for i in range(n_cells)])
        parts[name] = AnnData(counts, obs=obs, var=var)
        # Shares sum to one: other features gain what the regulator and its targets lose.
        for change_f in change_rf[:, columns]:
            change_f -= np.log2((share_nf * np.exp2(change_f)).sum(1)).mean()
    return mudata.MuData(parts), effect_rf, change_rf


REGULATORS = Task(
    regulators, tuple(SIMULATED), {"r": "r", "auroc": "AUROC", "error": "squared error"}
)
DONORS = Task(
    donors,
    ("bmmc_multiome", "bmmc_cite"),
    {"same": "same gene", "others": "other genes", "first": "most similar is the same"},
)
