"""Matching of cells with different modalities, and imputation of missing modalities.

``python -m benchmarks.mosaics bmmc_cite --seeds 0 1 2 --python-other OTHER/bin/python``

``mosaics.md`` explains the methods and the scores. Each run is added to the results file of its
data set when it ends. A run that is in the file is not repeated; one with another number of
epochs replaces it. Without a data set only the page is written.

MIDAS runs in another environment, with scmidas, whose interpreter is ``--python-other``. Without
it MIDAS is skipped.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from benchmarks.mosaics.methods import METHODS
from benchmarks.mosaics.mosaic import MOSAICS, load_mosaic
from benchmarks.mosaics.page import RESULTS, render
from benchmarks.mosaics.scores import embedding_scores, imputation_scores
from benchmarks.mosaics.task import Task
from benchmarks.shared.command_line import make_parser
from benchmarks.shared.data import load
from benchmarks.shared.pages import save
from benchmarks.shared.quiet import hide_messages
from benchmarks.shared.results import add, command, environment, is_done


def run(method: str, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """Row of one run. Labels are removed before the method is called."""
    mosaic = load_mosaic(args.data, seed)
    limit = args.max_epochs if METHODS[method].has_epochs else None
    task = Task(
        data=mosaic.data.without_labels(),
        single=mosaic.single,
        imputes=mosaic.divided is not None,
        seed=seed,
        max_epochs=limit,
        python_other=args.python_other,
        threads=args.threads,
    )
    fit = METHODS[method].run(task)
    here = environment(args.threads)
    here["versions"] |= fit.versions
    line = command(
        "mosaics",
        args.data,
        methods=[method],
        seeds=[seed],
        max_epochs=limit,
        threads=args.threads if args.threads != 1 else None,
        python_other="OTHER/bin/python" if METHODS[method].is_in_other_environment else None,
    )
    return {
        "method": method,
        "seed": seed,
        "max_epochs": limit,
        "epochs": fit.epochs,
        "wall_seconds": fit.seconds.wall,
        "cpu_seconds": fit.seconds.cpu,
        "n_cells": mosaic.data.data.n_obs,
        "n_single": [len(cells) for cells in mosaic.single.values()],
        "scores": embedding_scores(fit.embedding, mosaic),
        "imputation": imputation_scores(fit, mosaic),
        "command": line,
        **here,
    }


def measure(args: argparse.Namespace) -> None:
    """Run the methods on one data set."""
    path = args.out / f"{args.data}.json"
    data = load(args.data)
    for seed in args.seeds:
        for name in args.methods or METHODS:
            method = METHODS[name]
            limit = args.max_epochs if method.has_epochs else None
            if not method.applies(data):
                print(f"{args.data} {name}: does not apply to these modalities", flush=True)
            elif method.is_in_other_environment and args.python_other is None:
                print(f"{args.data} {name}: needs `--python-other`, skipped", flush=True)
            elif is_done(path, name, seed, limit):
                print(f"{args.data} {name} {seed}: in {path}", flush=True)
            else:
                row = run(name, seed, args)
                add(path, "mosaics", args.data, row, list(METHODS))
                print(args.data, json.dumps(row), flush=True)


def main() -> None:
    """Parse the command line, measure, write the page."""
    parser = make_parser(__package__, __doc__)
    parser.add_argument("data", nargs="?", choices=MOSAICS)
    parser.add_argument("--methods", nargs="+", choices=METHODS, help="default: all applicable")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--max-epochs", type=int, help="default: that of each method")
    parser.add_argument("--python-other", type=Path, help="interpreter with scmidas")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results files")
    args = parser.parse_args()
    if args.python_other is not None and not args.python_other.is_file():
        parser.error(f"`--python-other` is not a file: {args.python_other}")
    hide_messages()
    torch.set_num_threads(args.threads)
    if args.data is not None:
        with threadpool_limits(args.threads):
            measure(args)
    save(render())


if __name__ == "__main__":
    main()
