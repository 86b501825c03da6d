"""False and true discoveries of differential tests in simulated data."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scvi
from anndata import AnnData
from mudata import MuData
from scipy import sparse
from scipy.stats import spearmanr

from benchmarks.insight.task import QUIET_CPU, Figures, Task
from benchmarks.shared.package_internals import is_discovery
from benchmarks.shared.rank_genes import rank_genes
from multiDGD import MultiDGD
from multiDGD.datasets import simulate_multiome

FDR = 0.05
#: Threshold of the absolute log2 fold change.
DELTA = 0.25
#: Inverse overdispersion of the negative binomial.
R = 4.0
#: Cells of five types; half of the cells of one type are treated.
N_CELLS = 2000
#: Cells in each of the two groups; None for all cells of the type.
PARTS = {"200 and 200": None, "100 and 100": 100, "30 and 30": 30}


def treated_multiome(seed: int, share: float = 0.1) -> MuData:
    """Simulate cells; some features are changed in half of the cells of one type."""
    data = simulate_multiome(N_CELLS, 1000, 1000, true_means=True, seed=seed)
    rng = np.random.default_rng([seed, 1])
    treated = (data.obs["cell_type"] == "type_0").to_numpy() & (rng.random(N_CELLS) < 0.5)
    data.obs["condition"] = np.where(treated, "treated", "control")
    for part in data.mod.values():
        mean = part.layers["true_mean"].astype(float)
        library_size = mean.sum(1, keepdims=True)
        n = part.n_vars
        size = rng.uniform(0.5, 2.0, n) * rng.choice([-1, 1], n)
        part.var["changed"] = rng.random(n) < share
        mean[treated] *= 2 ** np.where(part.var["changed"], size, 0.0)
        mean *= library_size / mean.sum(1, keepdims=True)
        counts = rng.poisson(rng.gamma(R, mean / R))
        part.X = sparse.csr_matrix(counts.astype(np.float32))
    return data


def differential(part: str, seed: int) -> dict[str, Figures]:
    """False and true discoveries of each method in each modality."""
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
        figures = scores(tables[0][f"is_de_fdr_{FDR}"].to_numpy(), truth)
        for key in ("bayes_factor", "lfc_mean"):
            figures[f"seeds_{key}"] = float(spearmanr(*(t[key] for t in tables)).statistic)
        found[f"MultiDGD, {modality}"] = figures
        found[f"MultiDGD, criterion of scvi-tools, {modality}"] = scores(
            _scvi_criterion(models[0], groups, modality), truth
        )
        found[f"Wilcoxon (scanpy), {modality}"] = scores(_scanpy(cells, groups, "wilcoxon"), truth)
        found[f"t-test (scanpy), {modality}"] = scores(_scanpy(cells, groups, "t-test"), truth)
        found[f"SCVI, {modality}"] = scores(_scvi(others[modality], groups), truth)
    return found


def replicates(part: str, seed: int) -> dict[str, Figures]:
    """False and true discoveries with cells or donors as replicates."""
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
    model.train(**QUIET_CPU)
    found: dict[str, Figures] = {}
    for name, key in (("cells", None), ("donors", "donor")):
        for modality, x in data.mod.items():
            table = model.differential_expression(
                idx1=treated, modality=modality, sample_key=key, silent=True
            )
            called = table[f"is_de_fdr_{FDR}"].loc[x.var_names].to_numpy()
            found[f"{name}, {modality}"] = scores(called, x.var["changed"].to_numpy())
    return found


def _groups(data: MuData, size: int | None, seed: int) -> list[np.ndarray]:
    of_type = data.obs["cell_type"] == "type_0"
    rng = np.random.default_rng([seed, 2])
    groups = []
    for condition in ("treated", "control"):
        here = np.flatnonzero(of_type & (data.obs["condition"] == condition))
        groups.append(here if size is None else np.sort(rng.choice(here, size, replace=False)))
    return groups


# Parts have the same models and differ in the groups only.
@lru_cache(maxsize=1)
def _trained(seed: int) -> tuple[MuData, list[MultiDGD], dict[str, scvi.model.SCVI]]:
    data = treated_multiome(seed)
    MultiDGD.setup_mudata(data, batch_key="batch")
    models = []
    for other in (seed, seed + 100):
        scvi.settings.seed = other
        model = MultiDGD(data)
        model.train(**QUIET_CPU)
        models.append(model)
    scvi.settings.seed = seed
    others = {}
    for name, part in data.mod.items():
        cells = AnnData(part.X, obs=data.obs[["batch"]].copy(), var=part.var)
        scvi.model.SCVI.setup_anndata(cells, batch_key="batch")
        others[name] = scvi.model.SCVI(cells)
        others[name].train(**QUIET_CPU)
    return data, models, others


def scores(called: np.ndarray, truth: np.ndarray) -> Figures:
    """Share of false discoveries, and share of the changed features that are called."""
    return {
        "fdr": float((called & ~truth).sum() / max(called.sum(), 1)),
        "power": float((called & truth).sum() / truth.sum()),
    }


def _scvi_criterion(model: MultiDGD, groups: list[np.ndarray], modality: str) -> np.ndarray:
    """Comparison of pairs of cells as in scvi-tools, with draws of representation and decoder."""
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
    table = rank_genes(cells, groups[0], groups[1], method).loc[cells.var_names]
    return table["pvals_adj"].to_numpy() < FDR


def _scvi(model: scvi.model.SCVI, groups: list[np.ndarray]) -> np.ndarray:
    table = model.differential_expression(
        idx1=groups[0], idx2=groups[1], mode="change", fdr_target=FDR, silent=True
    )
    return table[f"is_de_fdr_{FDR}"].loc[model.adata.var_names].to_numpy()


TASK = Task(
    differential,
    tuple(PARTS),
    {
        "fdr": "false discoveries",
        "power": "power",
        "seeds_bayes_factor": "seeds, log odds",
        "seeds_lfc_mean": "seeds, fold change",
    },
)
REPLICATES = Task(
    replicates,
    ("5 donors in each group", "3 donors in each group"),
    {"fdr": "false discoveries", "power": "power"},
)
