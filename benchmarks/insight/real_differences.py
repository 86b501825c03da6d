"""Differential tests on the counts of real cells: nothing, known features or types differ."""

from __future__ import annotations

import contextlib
import io
import warnings
from functools import lru_cache

import anndata as ad
import numpy as np
import pandas as pd
import scvi
from mudata import MuData
from scipy import sparse
from scipy.stats import rankdata, spearmanr

from benchmarks.insight.differential import scores
from benchmarks.insight.task import QUIET_CPU, Figures, Task
from benchmarks.shared.data import load
from benchmarks.shared.rank_genes import rank_genes
from multiDGD import MultiDGD

FDR = 0.05
CALLED = f"is_de_fdr_{FDR}"
#: Genes of the sorted cells: a random half of the most expressed ones.
N_GENES = 2000
N_EXPRESSED = 4000
#: Share of the genes that are thinned in one of the groups, and the range of their log2 changes.
SHARE_CHANGED = 0.1
CHANGES = (1.0, 2.5)
#: Share of the other counts that remain in cells with a dominant gene.
REMAINING = 0.4
#: Draws of small groups.
N_DRAWS = 5
N_SPLITS = 50
#: Counts of a gene in a type from which the halves have similar fold changes.
N_FREQUENT = 100
#: Groups of cells that stand for samples in the pseudobulk test.
N_SAMPLES = 3
NULL_SIZES = {"3 and 3": 3, "10 and 10": 10, "30 and 30": 30, "100 and 100": 100}
THINNED = {
    f"{n} and {n}{name}": (n, dominant)
    for name, dominant in (("", False), (", dominant gene", True))
    for n in (3, 10, 30, 100)
}
#: Genes and proteins that mark populations in the literature, by data set and modality.
MARKERS = {
    "pbmc_facs_rna, rna": {
        "CD19+ B": ["CD79A", "MS4A1", "CD79B", "CD19"],
        "CD14+ Monocyte": ["LYZ", "CD14", "S100A8", "S100A9"],
        "CD34+": ["CD34", "SPINK2", "PRSS57"],
        "CD56+ NK": ["GNLY", "NKG7", "KLRD1", "FCGR3A"],
        "CD8+ Cytotoxic T": ["CD8A", "CD8B", "GZMK", "CD3D"],
        "CD8+/CD45RA+ Naive Cytotoxic": ["CD8A", "CD8B", "CCR7"],
        "CD4+ T Helper2": ["CD3D", "IL7R", "CD3E"],
        "CD4+/CD25 T Reg": ["CD3D", "CD3E", "IL32"],
        "CD4+/CD45RA+/CD25- Naive T": ["CD3D", "CCR7", "LDHB"],
        "CD4+/CD45RO+ Memory": ["CD3D", "IL7R", "LTB"],
    },
    "pbmc10k_cite, rna": {
        "Monocytes": ["LYZ", "CD14", "S100A8", "FCGR3A"],
        "B-cells": ["MS4A1", "CD79A", "CD19"],
        "NK cells": ["GNLY", "NKG7", "KLRD1", "NCAM1"],
        "CD8+ T-cells": ["CD8A", "CD8B", "GZMK", "CD3D"],
        "CD4+ T-cells": ["CD4", "IL7R", "CD3D", "CCR7"],
    },
    "pbmc10k_cite, prot": {
        "Monocytes": ["CD14_TotalSeqB"],
        "B-cells": ["CD19_TotalSeqB"],
        "NK cells": ["CD56_TotalSeqB", "CD16_TotalSeqB"],
        "CD8+ T-cells": ["CD8a_TotalSeqB", "CD3_TotalSeqB"],
        "CD4+ T-cells": ["CD4_TotalSeqB", "CD3_TotalSeqB"],
    },
}


def sorted_cells(seed: int) -> ad.AnnData:
    """Sorted blood cells with a random half of the most expressed genes."""
    cells = load("pbmc_facs_rna").data
    total = np.asarray(cells.X.sum(0)).ravel()
    most = np.argsort(-total, kind="stable")[:N_EXPRESSED]
    kept = np.random.default_rng([seed, 5]).choice(most, N_GENES, replace=False)
    return cells[:, np.sort(kept)].copy()


def thinned_cells(seed: int, dominant: bool) -> ad.AnnData:
    """Cells of one type in two groups; some genes are thinned in one of the groups.

    ``obs["group"]`` has the groups, ``var["lfc"]`` the true log2 changes. With a dominant gene,
    which ``var["dominant"]`` marks, most counts of the first group are moved to it.
    """
    cells = sorted_cells(seed)
    rng = np.random.default_rng([seed, 6])
    names = cells.obs["cell_type"].value_counts().index
    of_type = rng.permutation(np.flatnonzero(cells.obs["cell_type"] == names[seed % len(names)]))
    first, second = np.array_split(of_type, 2)
    counts = cells.X.toarray().astype(np.int64)
    lfc = np.zeros(N_GENES)
    changed = rng.choice(N_GENES, int(SHARE_CHANGED * N_GENES), replace=False)
    lfc[changed] = rng.uniform(*CHANGES, len(changed)) * rng.choice([-1, 1], len(changed))
    for group, which in ((second, lfc > 0), (first, lfc < 0)):
        at = np.ix_(group, np.flatnonzero(which))
        counts[at] = rng.binomial(counts[at], 2.0 ** -np.abs(lfc[which]))
    is_dominant = np.zeros(N_GENES, bool)
    if dominant:
        unchanged = np.flatnonzero(lfc == 0)
        gene = unchanged[np.argsort(-counts[second].sum(0)[unchanged])[20]]
        is_dominant[gene] = True
        before = counts[first].sum(1)
        counts[first] = rng.binomial(counts[first], REMAINING)
        counts[first, gene] += before - counts[first].sum(1)
    cells.X = sparse.csr_matrix(counts.astype(np.float32))
    cells.var["lfc"], cells.var["dominant"] = lfc, is_dominant
    group = np.full(cells.n_obs, "other", dtype=object)
    group[first], group[second] = "first", "second"
    cells.obs["group"] = group
    return cells


@lru_cache(maxsize=2)
def _model(seed: int, dominant: bool) -> tuple[ad.AnnData, MultiDGD]:
    cells = thinned_cells(seed, dominant)
    scvi.settings.seed = seed
    MultiDGD.setup_anndata(cells)
    model = MultiDGD(cells)
    model.train(**QUIET_CPU)
    return cells, model


@lru_cache(maxsize=2)
def _scvi(seed: int, dominant: bool) -> scvi.model.SCVI:
    cells = thinned_cells(seed, dominant)
    other = ad.AnnData(cells.X.copy(), var=cells.var[[]])
    scvi.settings.seed = seed
    scvi.model.SCVI.setup_anndata(other)
    model = scvi.model.SCVI(other)
    model.train(**QUIET_CPU)
    return model


def thinned(part: str, seed: int) -> dict[str, Figures]:
    """False and true discoveries of each method."""
    size, dominant = THINNED[part]
    cells, model = _model(seed, dominant)
    other = _scvi(seed, dominant)
    truth = cells.var["lfc"].to_numpy() != 0
    scored = ~cells.var["dominant"].to_numpy()
    groups = [np.flatnonzero(cells.obs["group"] == name) for name in ("first", "second")]
    found: dict[str, list[Figures]] = {}
    for draw in range(N_DRAWS if size < 100 else 1):
        rng = np.random.default_rng([seed, size, draw])
        first, second = (rng.choice(group, size, replace=False) for group in groups)
        for name, called in _calls(cells, model, other, first, second).items():
            called = called[scored]
            figures = scores(called, truth[scored])
            found.setdefault(name, []).append(figures | {"called": float(called.sum())})
    return {name: dict(pd.DataFrame(draws).mean()) for name, draws in found.items()}


def _calls(
    cells: ad.AnnData,
    model: MultiDGD,
    other: scvi.model.SCVI,
    first: np.ndarray,
    second: np.ndarray,
) -> dict[str, np.ndarray]:
    names = cells.var_names
    found = {
        f"MultiDGD, {reference}": model.differential_expression(
            idx1=first, idx2=second, reference=reference, fdr_target=FDR, silent=True
        )
        .loc[names, CALLED]
        .to_numpy()
        for reference in ("median", "share")
    }
    for method in ("t-test", "wilcoxon"):
        table = rank_genes(cells, first, second, method)
        found[f"{method} (scanpy)"] = table.loc[names, "pvals_adj"].to_numpy() < FDR
    found["pseudobulk (pydeseq2)"] = _pseudobulk(cells, first, second)
    table = other.differential_expression(
        idx1=first, idx2=second, mode="change", fdr_target=FDR, silent=True
    )
    found["SCVI"] = table.loc[names, CALLED].to_numpy()
    return found


def _pseudobulk(cells: ad.AnnData, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    from pydeseq2.dds import DeseqDataSet
    from pydeseq2.ds import DeseqStats

    parts = [p for group in (first, second) for p in np.array_split(group, N_SAMPLES)]
    counts = np.stack([np.asarray(cells.X[p].sum(0)).ravel() for p in parts]).astype(int)
    seen = counts.sum(0) > 0
    metadata = pd.DataFrame(
        {"group": ["b"] * N_SAMPLES + ["a"] * N_SAMPLES},
        index=[f"s{i}" for i in range(len(parts))],
    )
    table = pd.DataFrame(counts[:, seen], index=metadata.index, columns=cells.var_names[seen])
    called = np.zeros(cells.n_vars, bool)
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = DeseqDataSet(counts=table, metadata=metadata, design="~group", quiet=True)
        data.deseq2()
        test = DeseqStats(data, contrast=["group", "b", "a"], quiet=True)
        test.summary()
        called[seen] = (test.results_df["padj"] < FDR).to_numpy()
    return called


def null(part: str, seed: int) -> dict[str, Figures]:
    """Share of genes that are called between random groups of one type."""
    cells, model = _model(seed, False)
    of_type = np.flatnonzero(cells.obs["group"] == "first")
    size = NULL_SIZES[part]
    found: dict[str, list[float]] = {}
    for split in range(N_SPLITS):
        chosen = np.random.default_rng([seed, size, split, 1]).permutation(of_type)[: 2 * size]
        first, second = chosen[:size], chosen[size:]
        for reference in ("median", "share"):
            table = model.differential_expression(
                idx1=first, idx2=second, reference=reference, silent=True
            )
            found.setdefault(f"MultiDGD, {reference}", []).append(table[CALLED].mean())
        for method in ("t-test", "wilcoxon"):
            table = rank_genes(cells, first, second, method)
            found.setdefault(f"{method} (scanpy)", []).append((table["pvals_adj"] < FDR).mean())
    return {
        name: {"called": float(np.mean(shares)), "any": float(np.mean(np.array(shares) > 0))}
        for name, shares in found.items()
    }


def markers(part: str, seed: int) -> dict[str, Figures]:
    """Ranks of known markers of each type against the rest."""
    file, modality = part.split(", ")
    data, model = _trained(file, seed)
    cells = data[modality] if isinstance(data, MuData) else data
    labels = data.obs["cell_type"].astype(str).to_numpy()
    found: dict[str, list[float]] = {}
    for name, genes in MARKERS[part].items():
        is_in = labels == name
        table = model.differential_expression(idx1=is_in, modality=modality, silent=True)
        tables = {
            "MultiDGD, information": table["information"],
            "MultiDGD, lfc_bound": table["lfc_bound"],
            "MultiDGD, bayes_factor": table["bayes_factor"] * np.sign(table["lfc_mean"]),
            "MultiDGD, lfc_mean": table["lfc_mean"],
        }
        for method in ("t-test", "wilcoxon"):
            other = rank_genes(cells, np.flatnonzero(is_in), np.flatnonzero(~is_in), method)
            tables[f"{method} (scanpy)"] = other["scores"]
        for method, score in tables.items():
            rank = pd.Series(rankdata(-score), index=score.index)
            found.setdefault(method, []).extend(rank[[g for g in genes if g in rank.index]])
    return {
        name: {
            "median": float(np.median(ranks)),
            "mean_log2": float(np.log2(ranks).mean()),
            "among_20": float((np.array(ranks) <= 20).mean()),
        }
        for name, ranks in found.items()
    }


@lru_cache(maxsize=1)
def _trained(file: str, seed: int) -> tuple[ad.AnnData | MuData, MultiDGD]:
    data = load(file).data
    if isinstance(data, ad.AnnData):
        total = np.asarray(data.X.sum(0)).ravel()
        known = [gene for genes in MARKERS[f"{file}, rna"].values() for gene in genes]
        most = np.argsort(-total, kind="stable")[:N_EXPRESSED]
        data = data[:, np.union1d(most, data.var_names.get_indexer(known))].copy()
        data.var["modality"] = "rna"
        MultiDGD.setup_anndata(data, modality_key="modality")
    else:
        MultiDGD.setup_mudata(data)
    scvi.settings.seed = seed
    model = MultiDGD(data)
    model.train(**QUIET_CPU)
    return data, model


def halves(part: str, seed: int) -> dict[str, Figures]:
    """Correlation of fold changes of genes between two halves of the cells."""
    data, model = _trained(part, seed)
    genes = data if isinstance(data, ad.AnnData) else data["rna"]
    half = np.random.default_rng([seed, 9]).random(data.n_obs) < 0.5
    sizes = data.obs["cell_type"].value_counts()
    found: dict[str, list[Figures]] = {}
    for name in sizes.index[sizes >= 50]:
        is_in = (data.obs["cell_type"] == name).to_numpy()
        groups = [(is_in & h, ~is_in & h) for h in (half, ~half)]
        tables = [
            model.differential_expression(idx1=first, idx2=second, silent=True).loc[
                genes.var_names
            ]
            for first, second in groups
        ]
        others = [
            rank_genes(genes, *map(np.flatnonzero, group), "wilcoxon").loc[genes.var_names]
            for group in groups
        ]
        called = (tables[0][CALLED] | tables[1][CALLED]).to_numpy()
        is_frequent = np.asarray(genes.X[is_in].sum(0)).ravel() >= N_FREQUENT
        for line, changes in (
            ("MultiDGD", [t["lfc_mean"] for t in tables]),
            ("scanpy", [t["logfoldchanges"] for t in others]),
        ):
            found.setdefault(line, []).append(
                {
                    key: float(spearmanr(*(c[mask] for c in changes)).statistic)
                    for key, mask in (
                        ("all", slice(None)),
                        ("called", called),
                        ("frequent", is_frequent),
                    )
                }
            )
    return {line: dict(pd.DataFrame(figures).mean()) for line, figures in found.items()}


COLUMNS = {"fdr": "false discoveries", "power": "power", "called": "called"}
TASK = Task(thinned, tuple(THINNED), COLUMNS)
NULL = Task(null, tuple(NULL_SIZES), {"called": "share called", "any": "splits with a call"})
MARKER_RANKS = Task(
    markers,
    tuple(MARKERS),
    {"median": "median rank", "mean_log2": "mean log2 rank", "among_20": "among first 20"},
)
HALVES = Task(
    halves,
    ("pbmc_facs_rna", "bmmc_cite"),
    {"all": "all genes", "called": "called genes", "frequent": "genes of 100 counts"},
)
