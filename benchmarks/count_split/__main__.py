"""Predict one half of the molecules of held-out cells from the other half.

``python -m benchmarks.count_split bmmc_cite --seeds 0 1 2``

The molecules of each held-out cell are divided at random. Every method receives the first half and
predicts the profile of the second half. ``count_split.md`` explains the scores. Each run is
added to the results file of its data set when it ends.
"""

from __future__ import annotations

import logging
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import scvi
import torch

from benchmarks.count_split.page import RESULTS, render
from benchmarks.shared.command_line import make_parser
from benchmarks.shared.data import BATCH_KEY, DATASETS, Dataset, load
from benchmarks.shared.linear_baselines import PCABaseline
from benchmarks.shared.methods import METHODS as PEERS
from benchmarks.shared.methods import QUIET
from benchmarks.shared.pages import save
from benchmarks.shared.results import command, environment, write
from benchmarks.shared.results import rows as read_rows
from multiDGD import MultiDGD
from multiDGD.stats import ProfileScores, split_counts

Profiles = dict[str, np.ndarray]
# Dimensions of each modality's principal components.
N_COMPONENTS = 20


def multidgd(
    train: Dataset, half: Dataset, seed: int, max_epochs: int | None
) -> dict[str, Profiles]:
    """MultiDGD with its defaults: decoded profiles and posterior means."""
    scvi.settings.seed = seed
    plain = train.data is train.modalities.get("rna")
    setup = MultiDGD.setup_anndata if plain else MultiDGD.setup_mudata
    setup(train.data, batch_key=BATCH_KEY if train.n_batches > 1 else None)
    model = MultiDGD(train.data)
    model.train(max_epochs=max_epochs, **QUIET)
    found: dict[str, Profiles] = {"multidgd, decoder": {}, "multidgd, posterior": {}}
    for name in train.modalities:
        given = {"adata": half.data, "return_numpy": True} | ({} if plain else {"modality": name})
        for line, on in (("multidgd, decoder", False), ("multidgd, posterior", True)):
            found[line][name] = model.get_normalized_expression(condition_on_counts=on, **given)
    return found


def pca(train: Dataset, half: Dataset, seed: int, max_epochs: int | None) -> dict[str, Profiles]:
    """Principal components of each modality by itself, transformed back to profiles."""
    model = PCABaseline(n_components=N_COMPONENTS, seed=seed)
    model.fit({name: train.counts(name) for name in train.modalities})
    _, profiles = model.transform({name: half.counts(name) for name in train.modalities})
    return {"pca / lsi": profiles}


def peer(name: str) -> Any:
    """Model of scvi-tools with its defaults."""

    def run(
        train: Dataset, half: Dataset, seed: int, max_epochs: int | None
    ) -> dict[str, Profiles]:
        return {name: PEERS[name][1](train, half, seed, max_epochs).predictions}

    return run


METHODS = {"multidgd": multidgd, "pca": pca} | {m: peer(m) for m in ("multivi", "totalvi", "scvi")}
MODALITIES = {"multivi": {"rna", "atac"}, "totalvi": {"rna", "prot"}, "scvi": {"rna"}}


def divide(data: Dataset, seed: int) -> tuple[Dataset, dict[str, sp.csr_matrix]]:
    """Copy with the first half of the molecules of cells with counts in each half; second half."""
    rng = np.random.default_rng(seed)
    first = {}
    for name in data.modalities:
        x = data.counts(name)
        first[name] = x.copy()
        first[name].data = split_counts(x.data, 0.5, rng).astype(np.float32)
    kept = np.ones(data.data.n_obs, dtype=bool)
    for name, x in first.items():
        rest = data.counts(name) - x
        kept &= (np.asarray(x.sum(1)).ravel() > 0) & (np.asarray(rest.sum(1)).ravel() > 0)
    second = {name: sp.csr_matrix(data.counts(name) - x)[kept] for name, x in first.items()}
    half = data.subset(np.flatnonzero(kept))
    for name, part in half.modalities.items():
        x = first[name][kept]
        x.eliminate_zeros()
        part.X = x
    return half, second


def score(
    train: Dataset, second: dict[str, sp.csr_matrix], profiles: Profiles
) -> dict[str, dict[str, float]]:
    """Scores of the predicted profiles, by modality."""
    found = {}
    for name, profile in profiles.items():
        total = np.asarray(train.counts(name).sum(0)).ravel() + 1e-3
        scores = ProfileScores(total / total.sum())
        x, n = second[name].toarray(), second[name].shape[0]
        scores.add(x, profile, profile, np.ones(n, bool), np.zeros(n))
        summary = scores.summary()
        found[name] = {"score": summary["decoded"], "r": summary["decoded_correlation"]}
    return found


def measure(name: str, method: str, seed: int, max_epochs: int | None) -> list[dict[str, Any]]:
    """Rows of one method and seed on one data set."""
    train, held_out = load(name).split(seed)
    half, second = divide(held_out, seed)
    start = time.process_time()
    predictions = METHODS[method](train, half, seed, max_epochs)
    seconds = time.process_time() - start
    return [
        {
            "data": name,
            "method": line,
            "seed": seed,
            "max_epochs": max_epochs,
            "cpu_seconds": seconds,
            **score(train, second, profiles),
        }
        for line, profiles in predictions.items()
    ]


def main() -> None:
    """Parse the command line, measure, write the page."""
    parser = make_parser(__package__, __doc__)
    parser.add_argument("data", nargs="?", choices=DATASETS)
    parser.add_argument("--methods", nargs="+", choices=METHODS, help="default: all applicable")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--max-epochs", type=int, help="of the models of scvi-tools")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results files")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    scvi.settings.verbosity = logging.ERROR
    torch.set_num_threads(1)
    if args.data is not None:
        run(args.data, args.methods, args.seeds, args.max_epochs, args.out / f"{args.data}.json")
    save(render())


def run(
    name: str, methods: list[str] | None, seeds: list[int], max_epochs: int | None, out: Path
) -> None:
    """Measure the methods, and add their rows to the results file."""
    there = set(load(name).modalities)
    applicable = [m for m in METHODS if MODALITIES.get(m, there) == there]
    for seed in seeds:
        for method in methods or applicable:
            limit = max_epochs if method in MODALITIES else None
            new = measure(name, method, seed, limit)
            print(*new, sep="\n", flush=True)
            key = {(row["method"], row["seed"]) for row in new}
            kept = [r for r in read_rows(out) if (r["method"], r["seed"]) not in key]
            everything = sorted(kept + new, key=lambda r: (r["method"], r["seed"]))
            all_seeds = sorted({row["seed"] for row in everything})
            line = command("count_split", name, seeds=all_seeds, max_epochs=max_epochs)
            write(out, line, {**environment(1), "rows": everything})


if __name__ == "__main__":
    main()
