"""Quality of representations and predictions of MultiDGD and other models on real data.

``python -m benchmarks.quality bmmc_multiome --seeds 0 1 2 --out FILE.json``

``quality.md`` explains the scores. Results in ``benchmarks/quality/results`` appear in its tables;
their files are named ``DATA.ANYTHING.json``. Without a data set only the page is written.

Each method is trained for its default number of epochs unless ``--max-epochs`` is given. With
``--cache`` fits are kept, and a later run only computes their scores.
"""

from __future__ import annotations

import argparse
import json
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import scvi
import torch
from threadpoolctl import threadpool_limits

from benchmarks.quality.page import render, table
from benchmarks.shared.command_line import make_parser
from benchmarks.shared.data import DATASETS, Dataset, load
from benchmarks.shared.methods import METHODS, Fit, is_applicable
from benchmarks.shared.pages import save
from benchmarks.shared.results import command, environment, write
from benchmarks.shared.scores import evaluate


def fit_method(
    method: str,
    train: Dataset,
    held_out: Dataset,
    seed: int,
    max_epochs: int | None,
    cache: Path | None,
) -> Fit:
    """Fit a method, or read the fit from the cache."""
    epochs = "default" if max_epochs is None else max_epochs
    path = cache / f"{train.name}.{method}.{epochs}.{seed}.pkl" if cache else None
    if path is not None and path.exists():
        return pickle.loads(path.read_bytes())
    fit = METHODS[method][1](train, held_out, seed, max_epochs)
    fit.predictions = {k: np.asarray(v, dtype=np.float32) for k, v in fit.predictions.items()}
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(fit))
    return fit


def aligned(lines: list[list[str]]) -> str:
    """Table for the terminal."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligns = [str.ljust] + [str.rjust] * (len(widths) - 1)
    return "\n".join(
        "  ".join(align(*cell) for align, *cell in zip(aligns, line, widths, strict=True))
        for line in lines
    )


def command_of(args: argparse.Namespace, methods: list[str]) -> str:
    """Command that repeats the run."""
    return command(
        "quality",
        args.data,
        methods=methods,
        seeds=args.seeds,
        max_epochs=args.max_epochs,
        threads=args.threads if args.threads != 1 else None,
        out=args.out,
    )


def measure(args: argparse.Namespace) -> None:
    """Fit and score all methods; print the scores and write them to ``--out``."""
    data = load(args.data)
    methods = [m for m in args.methods or METHODS if is_applicable(m, data)]
    for method in set(args.methods or ()) - set(methods):
        print(f"{method} does not model the modalities of {args.data}: skipped", flush=True)

    rows: list[dict[str, Any]] = []
    for seed in args.seeds:
        train, held_out = data.split(seed)
        for method in methods:
            fit = fit_method(method, train, held_out, seed, args.max_epochs, args.cache)
            row = {
                "method": method,
                "seed": seed,
                "epochs": fit.epochs,
                "default_epochs": fit.default_epochs,
                "times": fit.times,
                "scores": evaluate(fit, train, held_out),
            }
            rows.append(row)
            print(json.dumps(row), flush=True)
            if args.out is not None:
                content = {"data": args.data, **environment(args.threads), "rows": rows}
                write(args.out, command_of(args, methods), content)
    print(f"\n{args.data}: means over seeds (number in brackets), {args.threads} thread(s)")
    print(aligned(table(rows)))


def main() -> None:
    """Parse the command line, measure, write the page."""
    parser = make_parser(__package__, __doc__)
    parser.add_argument("data", nargs="?", choices=DATASETS)
    parser.add_argument("--methods", nargs="+", choices=METHODS, help="default: all applicable")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--max-epochs", type=int, help="default: that of each method")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="results file, written after every fit")
    parser.add_argument("--cache", type=Path, help="folder in which fits are kept")
    args = parser.parse_args()

    warnings.filterwarnings("ignore")
    scvi.settings.verbosity = 30
    torch.set_num_threads(args.threads)
    if args.data is not None:
        with threadpool_limits(args.threads):
            measure(args)
    save(render())


if __name__ == "__main__":
    main()
