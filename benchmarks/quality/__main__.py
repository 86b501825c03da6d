"""Representations of MultiDGD and other methods on real data, without labels.

``python -m benchmarks.quality bmmc_cite --seeds 0 1 2 --python-other OTHER/bin/python``

``quality.md`` explains the methods and the scores. Each run is added to the results file of its
data set when it ends. A run that is in the file is not repeated; one with another number of
epochs replaces it. Without a data set only the page is written.

WNN and MIDAS run in another environment, with muon and scmidas, whose interpreter is
``--python-other``. Without it they are skipped.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits

from benchmarks.quality.methods import METHODS
from benchmarks.quality.page import RESULTS, render
from benchmarks.quality.run import run
from benchmarks.shared.command_line import make_parser
from benchmarks.shared.data import DATASETS, Dataset, load
from benchmarks.shared.pages import save
from benchmarks.shared.quiet import hide_messages
from benchmarks.shared.results import add, command, environment, is_done

#: Genes of RNA alone, for all methods alike.
MAX_GENES = 4000
PACKAGES = ("scanpy", "harmonypy", "scib-metrics", "igraph")


def chosen_methods(data: Dataset, args: argparse.Namespace) -> list[str]:
    """Methods to run; those that do not apply are named and skipped."""
    found = []
    for name in args.methods or METHODS:
        method = METHODS[name]
        if not method.applies(data):
            reason = "does not apply to these modalities"
        elif method.is_in_other_environment and args.python_other is None:
            reason = "needs `--python-other`"
        else:
            found.append(name)
            continue
        if args.methods:
            print(f"{name} {reason}: skipped", flush=True)
    return found


def measure(args: argparse.Namespace) -> None:
    """Run the methods on one data set."""
    path = args.out / f"{args.data}.json"
    data = load(args.data).most_detected_genes(MAX_GENES)
    for seed in args.seeds:
        for method in chosen_methods(data, args):
            limit = args.max_epochs if METHODS[method].has_epochs else None
            if is_done(path, method, seed, limit):
                print(f"{args.data} {method} {seed}: in {path}", flush=True)
                continue
            fitted, versions = run(data, method, seed, limit, args.python_other, args.threads)
            here = environment(args.threads, *PACKAGES)
            here["versions"] |= versions
            in_other = METHODS[method].is_in_other_environment
            line = command(
                "quality",
                args.data,
                methods=[method],
                seeds=[seed],
                max_epochs=limit,
                threads=args.threads if args.threads != 1 else None,
                python_other="OTHER/bin/python" if in_other else None,
            )
            row = {"method": method, "seed": seed, "max_epochs": limit, **fitted}
            add(path, "quality", args.data, {**row, "command": line, **here}, list(METHODS))
            print(args.data, json.dumps(row), flush=True)


def main() -> None:
    """Parse the command line, measure, write the page."""
    parser = make_parser(__package__, __doc__)
    parser.add_argument("data", nargs="?", choices=DATASETS)
    parser.add_argument("--methods", nargs="+", choices=METHODS, help="default: all applicable")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--max-epochs", type=int, help="default: that of each method")
    parser.add_argument("--python-other", type=Path, help="interpreter with muon and scmidas")
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
