"""Are the features found that differ between groups of cells, and few others?"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd
import scanpy as sc
import scvi
from _insight import QUIET, Figures, Task
from anndata import AnnData
from mudata import MuData
from scipy import sparse
from scipy.stats import spearmanr

from multiDGD import MultiDGD
from multiDGD.datasets import simulate_multiome
from multiDGD.model._differential_table import is_discovery

FDR = 0.05
DELTA = 0.25
R = 4.0
# Treated cells of one type, of 2,000 of five types; all that there are, or some of each group.
N_CELLS = 2000
PARTS = {"200 and 200": None, "100 and 100": 100, "30 and 30": 30}


def treated_multiome(seed: int, share: float = 0.1) -> MuData:
    """A simulation in which half of a type's cells have some features changed."""
    data = simulate_multiome(N_CELLS, 1000, 1000, true_means=True, seed=seed)
    rng = np.random.default_rng([seed, 1])
    treated = (data.obs["cell_type"] == "type_0").to_numpy() & (rng.random(N_CELLS) < 0.5)
    data.obs["condition"] = np.where(treated, "treated", "control")
    for part in data.mod.values():
        mean = part.layers["true_mean"].astype(float)
        depth = mean.sum(1, keepdims=True)
        n = part.n_vars
        size = rng.uniform(0.5, 2.0, n) * rng.choice([-1, 1], n)
        part.var["changed"] = rng.random(n) < share
        mean[treated] *= 2 ** np.where(part.var["changed"], size, 0.0)
        mean *= depth / mean.sum(1, keepdims=True)
        counts = rng.poisson(rng.gamma(R, mean / R))
        part.X = sparse.csr_matrix(counts.astype(np.float32))
    return data


def differential(part: str, seed: int) -> dict[str, Figures]:
    """False and true discoveries, of each method in each modality."""
    data, models, others = _trained(seed)
    groups = _groups(data, PARTS[part], seed)
    found: dict[str, Figures] = {}
    for modality, cells in data.mod.items():
        truth = cells.var["changed"].to_numpy()
        tables = [
            m.differential_expression(
                idx1=groups[0], idx2=groups[1], modality=modality, silent=True
            ).loc[cells.var_names]
            for m in models
        ]
        figures = _scores(tables[0][f"is_de_fdr_{FDR}"].to_numpy(), truth)
        for key in ("bayes_factor", "lfc_mean"):
            figures[f"seeds_{key}"] = float(spearmanr(*(t[key] for t in tables)).statistic)
        found[f"MultiDGD, {modality}"] = figures
        found[f"MultiDGD, draws for scvi-tools, {modality}"] = _scores(
            _draws(models[0], groups, modality), truth
        )
        found[f"Wilcoxon (scanpy), {modality}"] = _scores(
            _scanpy(cells, groups, "wilcoxon"), truth
        )
        found[f"t-test (scanpy), {modality}"] = _scores(_scanpy(cells, groups, "t-test"), truth)
        found[f"SCVI, {modality}"] = _scores(_scvi(others[modality], groups), truth)
    return found


def replicates(part: str, seed: int) -> dict[str, Figures]:
    """False and true discoveries where donors differ in all features, by what is a replicate."""
    n_donors = 2 * int(part.split()[0])
    data = simulate_multiome(600, 400, 450, n_types=3, true_means=True, seed=seed)
    rng = np.random.default_rng([seed, 3])
    donor = rng.integers(0, n_donors, data.n_obs)
    treated = donor < n_donors / 2
    data.obs["donor"] = [f"donor_{i}" for i in donor]
    for x in data.mod.values():
        size = rng.uniform(1.0, 2.0, x.n_vars) * rng.choice([-1, 1], x.n_vars)
        x.var["changed"] = rng.random(x.n_vars) < 0.15
        mean = x.layers["true_mean"] * rng.lognormal(0, 0.4, (n_donors, x.n_vars))[donor]
        mean[treated] *= 2 ** np.where(x.var["changed"], size, 0.0)
        mean *= x.layers["true_mean"].sum(1, keepdims=True) / mean.sum(1, keepdims=True)
        x.X = sparse.csr_matrix(rng.poisson(rng.gamma(R, mean / R)).astype(np.float32))
    scvi.settings.seed = seed
    MultiDGD.setup_mudata(data)
    model = MultiDGD(data)
    model.train(**QUIET)
    found: dict[str, Figures] = {}
    for name, key in (("cells", None), ("donors", "donor")):
        for modality, x in data.mod.items():
            table = model.differential_expression(
                idx1=treated, modality=modality, sample_key=key, silent=True
            )
            called = table[f"is_de_fdr_{FDR}"].loc[x.var_names].to_numpy()
            found[f"{name}, {modality}"] = _scores(called, x.var["changed"].to_numpy())
    return found


def _groups(data: MuData, size: int | None, seed: int) -> list[np.ndarray]:
    of_type = data.obs["cell_type"] == "type_0"
    rng = np.random.default_rng([seed, 2])
    groups = []
    for condition in ("treated", "control"):
        here = np.flatnonzero(of_type & (data.obs["condition"] == condition))
        groups.append(here if size is None else np.sort(rng.choice(here, size, replace=False)))
    return groups


# Parts differ in the groups alone.
@lru_cache(maxsize=1)
def _trained(seed: int) -> tuple[MuData, list[MultiDGD], dict[str, scvi.model.SCVI]]:
    data = treated_multiome(seed)
    MultiDGD.setup_mudata(data, batch_key="batch")
    models = []
    for other in (seed, seed + 100):
        scvi.settings.seed = other
        model = MultiDGD(data)
        model.train(**QUIET)
        models.append(model)
    scvi.settings.seed = seed
    others = {}
    for name, part in data.mod.items():
        cells = AnnData(part.X, obs=data.obs[["batch"]].copy(), var=part.var)
        scvi.model.SCVI.setup_anndata(cells, batch_key="batch")
        others[name] = scvi.model.SCVI(cells)
        others[name].train(**QUIET)
    return data, models, others


def _scores(called: np.ndarray, truth: np.ndarray) -> Figures:
    return {
        "fdr": float((called & ~truth).sum() / max(called.sum(), 1)),
        "power": float((called & truth).sum() / truth.sum()),
    }


def _draws(model: MultiDGD, groups: list[np.ndarray], modality: str) -> np.ndarray:
    """Pairs of single cells, with places and decoder drawn, as scvi-tools compares groups."""
    rng = np.random.default_rng(0)
    first, second = (
        model.get_normalized_expression(
            indices=rng.choice(group, 2000), modality=modality, n_samples=1, return_numpy=True
        )
        for group in groups
    )
    lfc = np.log2(first + 1e-8) - np.log2(second + 1e-8)
    return is_discovery(1 - np.maximum((lfc > DELTA).mean(0), (lfc < -DELTA).mean(0)), FDR)


def _scanpy(cells: AnnData, groups: list[np.ndarray], method: str) -> np.ndarray:
    chosen = cells[np.concatenate(groups)].copy()
    chosen.obs["group"] = pd.Categorical(np.repeat(["a", "b"], [len(g) for g in groups]))
    sc.pp.normalize_total(chosen)
    sc.pp.log1p(chosen)
    sc.tl.rank_genes_groups(chosen, "group", groups=["a"], reference="b", method=method)
    table = sc.get.rank_genes_groups_df(chosen, "a").set_index("names").loc[cells.var_names]
    return table["pvals_adj"].to_numpy() < FDR


def _scvi(model: scvi.model.SCVI, groups: list[np.ndarray]) -> np.ndarray:
    table = model.differential_expression(
        idx1=groups[0], idx2=groups[1], mode="change", fdr_target=FDR, silent=True
    )
    return table[f"is_de_fdr_{FDR}"].loc[model.adata.var_names].to_numpy()


TASKS = {
    "differential": Task(
        differential,
        tuple(PARTS),
        {
            "fdr": "false discoveries",
            "power": "power",
            "seeds_bayes_factor": "seeds, log odds",
            "seeds_lfc_mean": "seeds, fold change",
        },
        "Simulated multiomes of 2,000 cells, 1,000 genes and 1,000 peaks, in which about 200 of "
        "the 400 cells of one type have a tenth of the features changed by a factor of 1.4 to 4, "
        "up or down; models are not told of it. Treated against untreated cells of that type, all "
        "or some of each. Share of the features called at an FDR of 5 % that have not changed, "
        "and of those that have changed that are called. MultiDGD and SCVI ask for a change of "
        "more than 0.25 in log2, on their own terms; p-values of scanpy are Benjamini-Hochberg's. "
        "*Draws for scvi-tools*: the question that scvi-tools asks, of pairs of single cells, put "
        "to draws from MultiDGD's posterior. *Seeds*: Spearman correlation between models trained "
        "with different seeds.",
    ),
    "replicates": Task(
        replicates,
        ("5 donors in each group", "3 donors in each group"),
        {"fdr": "false discoveries", "power": "power"},
        "600 cells, 400 genes and 450 peaks, of which treatment changes 15 % by a factor of 2 to "
        "4; each donor differs from the others in every feature (log-normal, standard deviation "
        "0.4). Called at an FDR of 5 % with cells and with donors (`sample_key`) as replicates.",
    ),
}
