"""Compare the removal of covariates in the spectral initialisation with Harmony.

``python -m benchmarks.harmony`` needs harmonypy and scib-metrics. It writes
``results/harmony.json`` and the tables of ``harmony.md``.

The joint spectral embedding of each data set is computed once, and its batch effect is removed by

- none: nothing is removed
- multiDGD: ``remove_covariates`` of ``multiDGD.init``
- harmonypy: ``run_harmony`` with its default arguments and one thread
- harmonypy, alpha 0.5: the same with the ridge penalty of multiDGD in place of 0.2

The results are rotated to their 20 leading principal axes and scored on

- kNN: label accuracy of 15 nearest neighbours, 5-fold cross-validation
- NMI: k-means with the true number of types against the labels
- iLISI: integration LISI of scib-metrics, from 0 to 1 (batches mixed, whatever their composition)
- mixing: entropy of batches among neighbours of the same type, 1 if mixed as by chance
- seconds: processor time of the removal alone

A second table has the processor time for resampled cells of the largest data set.
"""

from __future__ import annotations

import json
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import platform
import time
import warnings
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest import mock

import anndata as ad
import harmonypy
import mudata as md
import numpy as np
import pandas as pd
import scipy.sparse as sp
from scib_metrics import ilisi_knn
from scib_metrics.nearest_neighbors import NeighborsResults
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import normalized_mutual_info_score
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from threadpoolctl import threadpool_limits

from benchmarks.harmony.page import RESULTS, render, scaling_table, table
from benchmarks.shared.command_line import make_parser
from benchmarks.shared.data import data_dir
from benchmarks.shared.package_internals import UNKNOWN_LABELS, batch_mixing, init_spectral
from benchmarks.shared.pages import save
from benchmarks.shared.results import command, write

# Name, file and column of the labels. Every file has the batch in the column `batch`.
DATASETS = {
    "bmmc_multiome": ("bmmc_multiome.h5mu", "cell_type"),
    "bmmc_cite": ("bmmc_cite.h5mu", "cell_type"),
    "pbmc_cite_mosaic": ("pbmc_cite_mosaic.h5mu", "celltype"),
    "sc_mixology_5batch": ("sc_mixology_5batch_rna.h5ad", "cell_type"),
    "snareseq_mouse_cortex": ("snareseq_mouse_cortex.h5mu", "cell_type"),
    "asap_cite_pbmc": ("asap_cite_pbmc_prot.h5ad", "cell_type"),
}
N_LATENT = 20
N_NEIGHBORS = 15
N_LISI_NEIGHBORS = 90
# Data set and numbers of its cells, drawn with replacement and with noise, for the second table.
SCALING = "asap_cite_pbmc", (20_000, 50_000, 100_000)
PACKAGES = ("multidgd", "harmonypy", "scib-metrics", "scikit-learn", "numpy", "scipy")


def load(name: str) -> tuple[dict[str, ad.AnnData], np.ndarray, np.ndarray]:
    """Modalities, batches and labels of one data set."""
    file, label_key = DATASETS[name]
    path = data_dir() / file
    data = ad.read_h5ad(path) if path.suffix == ".h5ad" else md.read_h5mu(path)
    modalities = dict(data.mod) if isinstance(data, md.MuData) else {"rna": data}
    batch, labels = (data.obs[key].astype(str).to_numpy() for key in ("batch", label_key))
    aligned = {m: _aligned(x, data.obs_names) for m, x in modalities.items()}
    return aligned, batch, labels


def _aligned(part: ad.AnnData, cells: pd.Index) -> ad.AnnData:
    """One modality with an empty row for every cell in which it was not measured."""
    at = part.obs_names.get_indexer(cells)
    select = sp.csr_matrix(
        (np.ones((at >= 0).sum(), np.float32), (np.flatnonzero(at >= 0), at[at >= 0])),
        shape=(len(cells), part.n_obs),
    )
    counts = select @ sp.csr_matrix(part.X).astype(np.float32)
    return ad.AnnData(counts, obs=pd.DataFrame(index=cells), var=part.var[[]])


def before_removal(
    modalities: dict[str, ad.AnnData], batch: np.ndarray
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Joint embedding and covariates that the spectral initialisation passes to the removal."""
    given: dict[str, Any] = {}

    def record(embedding: np.ndarray, covariates: list[np.ndarray], fit: Any, **_: Any) -> Any:
        given.update(embedding=embedding, covariates=list(covariates))
        return embedding

    with mock.patch.object(init_spectral, "remove_covariates", record):
        init_spectral.spectral_embedding(
            {m: x.X for m, x in modalities.items()},
            n_latent=N_LATENT,
            feature_names={m: list(x.var_names) for m, x in modalities.items()},
            covariates=[pd.factorize(batch)[0]],
        )
    return given["embedding"], given["covariates"]


def by_multidgd(embedding: np.ndarray, covariates: list[np.ndarray], seed: int) -> np.ndarray:
    fit = np.ones(len(embedding), dtype=bool)
    return init_spectral.remove_covariates(embedding, covariates, fit, seed=seed)


def by_harmonypy(
    embedding: np.ndarray, covariates: list[np.ndarray], seed: int, **arguments: Any
) -> np.ndarray:
    table = pd.DataFrame({f"covariate{i}": codes for i, codes in enumerate(covariates)})
    found = harmonypy.run_harmony(
        embedding, table, list(table), random_state=seed, ncores=1, verbose=False, **arguments
    )
    return found.Z_corr


METHODS: dict[str, Callable[[np.ndarray, list[np.ndarray], int], np.ndarray]] = {
    "none": lambda embedding, covariates, seed: embedding,
    "multiDGD": by_multidgd,
    "harmonypy": by_harmonypy,
    "harmonypy, alpha 0.5": partial(by_harmonypy, alpha=0.5),
}


def scores(
    embedding: np.ndarray, batch: np.ndarray, labels: np.ndarray, seed: int
) -> dict[str, float]:
    """Scores of the leading principal axes; cells of unknown type count for iLISI alone."""
    z = PCA(N_LATENT, svd_solver="full").fit_transform(embedding)
    known = ~np.isin(labels, UNKNOWN_LABELS)
    points, types = z[known], labels[known]
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    accuracy = cross_val_score(KNeighborsClassifier(N_NEIGHBORS), points, types, cv=folds)
    k_means = KMeans(len(np.unique(types)), n_init=10, random_state=seed)
    neighbors = NearestNeighbors(n_neighbors=N_LISI_NEIGHBORS).fit(z).kneighbors(z)
    return {
        "knn": float(accuracy.mean()),
        "nmi": float(normalized_mutual_info_score(types, k_means.fit_predict(points))),
        "ilisi": float(ilisi_knn(NeighborsResults(neighbors[1], neighbors[0]), batch)),
        "mixing": batch_mixing(points, batch[known], types, n_neighbors=N_NEIGHBORS),
    }


def measure(name: str, seeds: list[int]) -> list[dict[str, Any]]:
    """Scores and processor time of every method and seed on one data set."""
    modalities, batch, labels = load(name)
    embedding, covariates = before_removal(modalities, batch)
    rows = []
    for method, remove in METHODS.items():
        for seed in seeds:
            start = time.process_time()
            corrected = remove(embedding.copy(), covariates, seed)
            seconds = time.process_time() - start
            found = {**scores(corrected, batch, labels, seed), "seconds": seconds}
            row = {"data": name, "n_cells": len(batch), "method": method, "seed": seed, **found}
            print(json.dumps(row), flush=True)
            rows.append(row)
    return rows


def scaling(seeds: list[int]) -> list[dict[str, Any]]:
    """Processor time of both implementations for growing numbers of cells."""
    name, sizes = SCALING
    modalities, batch, _ = load(name)
    embedding, covariates = before_removal(modalities, batch)
    rows = []
    for n_cells in sizes:
        for seed in seeds:
            rng = np.random.default_rng(seed)
            at = rng.integers(0, len(embedding), n_cells)
            noise = 0.1 * embedding.std(axis=0) * rng.normal(size=(n_cells, embedding.shape[1]))
            drawn, codes = embedding[at] + noise, [c[at] for c in covariates]
            for method in ("multiDGD", "harmonypy"):
                start = time.process_time()
                METHODS[method](drawn, codes, seed)
                seconds = time.process_time() - start
                row = {"n_cells": n_cells, "method": method, "seed": seed, "seconds": seconds}
                print(json.dumps(row), flush=True)
                rows.append(row)
    return rows


def processor() -> str:
    """Model name of the processor."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


def save_results(rows: list[dict[str, Any]], times: list[dict[str, Any]], line: str) -> None:
    """Write all results, and the tables of the page."""
    settings = {
        "processor": processor(),
        "threads": 1,
        "python": platform.python_version(),
        "versions": {package: version(package) for package in PACKAGES},
    }
    write(RESULTS, line, {**settings, "rows": rows, "scaling": times})
    save(render())


def main() -> None:
    """Parse the command line, measure and write the results."""
    parser = make_parser(__package__, __doc__)
    parser.add_argument("--data", nargs="+", choices=DATASETS, default=list(DATASETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--dry-run", action="store_true", help="print, but write no file")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    rows: list[dict[str, Any]] = []
    with threadpool_limits(1):
        for name in args.data:
            rows += measure(name, args.seeds)
        times = scaling(args.seeds)
    print(f"{table(rows)}\n\n{scaling_table(times)}")
    if not args.dry_run:
        save_results(rows, times, command("harmony", data=args.data, seeds=args.seeds))


if __name__ == "__main__":
    main()
