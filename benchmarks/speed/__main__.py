"""Time and memory of MultiDGD against MultiVI, totalVI, dense likelihoods and matrix products.

``OMP_NUM_THREADS=1 python -m benchmarks.speed --rows epoch-snareseq likelihood-wide --threads 1``

Prints a table. ``--out`` adds the rows to a results file, in place of earlier rows of the same case;
``speed.md`` and ``speed_gpu.md`` show the files of these names in ``benchmarks/speed/results``.
The pages explain the rows.
"""

from __future__ import annotations

import argparse
import gc
import logging
import warnings
from pathlib import Path

import scvi
import torch
from threadpoolctl import threadpool_limits

from benchmarks.shared.command_line import make_parser
from benchmarks.shared.pages import save
from benchmarks.shared.results import command, write
from benchmarks.shared.timing import device
from benchmarks.speed.cases import CASES, Options
from benchmarks.speed.page import read, render
from benchmarks.speed.rows import Row, table

REPEATS, STEPS, STEPS_WIDE = 5, 12, 2


def add(path: Path, new: list[Row], args: argparse.Namespace) -> None:
    """Add rows to a results file, in place of earlier rows of the same case."""
    order = list(CASES)
    by_case = {row.case: row for row in [*read(path), *new]}
    rows = sorted(by_case.values(), key=lambda row: order.index(row.name))
    write(path, command_of(rows, args), {"rows": [row.as_json() for row in rows]})


def command_of(rows: list[Row], args: argparse.Namespace) -> str:
    """Command that measures all rows of a file."""
    cases = list(dict.fromkeys(row.name for row in rows))
    return command(
        "speed",
        rows=cases if cases != list(CASES) else None,
        threads=args.threads,
        repeats=args.repeats if args.repeats != REPEATS else None,
        steps=args.steps if args.steps != STEPS else None,
        steps_wide=args.steps_wide if args.steps_wide != STEPS_WIDE else None,
        tiny=args.tiny,
        out=args.out,
    )


def main() -> None:
    """Parse the command line, measure, write the pages."""
    parser = make_parser(__package__, __doc__)
    parser.add_argument("--rows", nargs="+", choices=CASES, help="default: all")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=REPEATS, help="timed blocks of each side")
    parser.add_argument("--steps", type=int, default=STEPS, help="steps per block, after 3 others")
    parser.add_argument(
        "--steps-wide", type=int, default=STEPS_WIDE, help="the same for MultiVI on wide data"
    )
    parser.add_argument("--cache", type=Path, default=Path(".cache"), help="simulated data")
    parser.add_argument("--out", type=Path, help="results file")
    parser.add_argument("--tiny", action="store_true", help="small data, for trying the script")
    args = parser.parse_args()

    warnings.filterwarnings("ignore")
    scvi.settings.verbosity = 30
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(args.threads)
    options = Options(
        repeats=args.repeats,
        n_warmup=1 if args.tiny else 3,
        n_steps=2 if args.tiny else args.steps,
        n_steps_wide=args.steps_wide,
        threads=args.threads,
        cache=args.cache,
        tiny=args.tiny,
    )
    rows: list[Row] = []
    with threadpool_limits(args.threads):
        for case in args.rows or CASES:
            for row in CASES[case](options):
                if device().type == "cuda":
                    row.target = None  # targets are for CPUs
                rows.append(row)
                print(" | ".join(row.cells()), flush=True)
            if args.out is not None:
                add(args.out, rows, args)
            gc.collect()
    print(f"\n{table(rows)}\n")
    save(render())


if __name__ == "__main__":
    main()
