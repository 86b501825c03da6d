"""Predict one half of the molecules of held-out cells from the other half.

``python -m benchmarks.count_split bmmc_cite --seeds 0 1 2``

The molecules of each held-out cell are divided at random. Every method receives the first half and
predicts the profile of the second half. ``count_split.md`` explains the scores. Each run is
added to the results file of its data set when it ends.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.count_split.page import RESULTS, render
from benchmarks.quality.methods import METHODS as COMPARED
from benchmarks.quality.methods.pca import pca_profiles
from benchmarks.quality.task import Task
from benchmarks.shared.command_line import make_parser
from benchmarks.shared.count_halves import Profiles, divide, profile_scores
from benchmarks.shared.data import DATASETS, Dataset, load
from benchmarks.shared.pages import save
from benchmarks.shared.quiet import hide_messages
from benchmarks.shared.results import command, environment, write
from benchmarks.shared.results import rows as read_rows

PEERS = ("multivi", "totalvi", "scvi")
METHODS = ("multidgd", "pca", *PEERS)


def predict(
    method: str, train: Dataset, half: Dataset, seed: int, max_epochs: int | None
) -> dict[str, Profiles]:
    """Profiles of the second halves, by the line of the table."""
    if method == "pca":
        return {"pca / lsi": pca_profiles(train, half, seed)}
    fit = COMPARED[method].run(Task(train, half, train.known, seed, max_epochs))
    return {f"{method}, {key}" if key else method: p for key, p in fit.profiles.items()}


def measure(name: str, method: str, seed: int, max_epochs: int | None) -> list[dict[str, Any]]:
    """Rows of one method and seed on one data set."""
    train, held_out = load(name).split(seed)
    half, second = divide(held_out, seed)
    start = time.process_time()
    predictions = predict(method, train, half, seed, max_epochs)
    seconds = time.process_time() - start
    return [
        {
            "data": name,
            "method": line,
            "seed": seed,
            "max_epochs": max_epochs,
            "cpu_seconds": seconds,
            **profile_scores(train, second, profiles),
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
    hide_messages()
    torch.set_num_threads(1)
    if args.data is not None:
        run(args.data, args.methods, args.seeds, args.max_epochs, args.out / f"{args.data}.json")
    save(render())


def run(
    name: str, methods: list[str] | None, seeds: list[int], max_epochs: int | None, out: Path
) -> None:
    """Measure the methods, and add their rows to the results file."""
    data = load(name)
    applicable = [m for m in METHODS if COMPARED[m].applies(data)]
    for seed in seeds:
        for method in methods or applicable:
            limit = max_epochs if method in PEERS else None
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
