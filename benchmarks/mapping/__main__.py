"""Mapping of held-out cells, and prediction of missing modalities.

``python -m benchmarks.mapping protein --methods multidgd totalvi --seeds 0 1 2``

The tasks (defined in ``tasks.py``, explained in ``mapping.md``) are

- protein: pbmc10k_cite, 10 % of the cells by seed with RNA only; predict their 14 proteins
- multiome: bmmc_multiome, 10 % of the cells by seed; predict ATAC from RNA and RNA from ATAC
- protocols: sc_mixology, train on four protocols, map the fifth, each in turn
- donors: bmmc_multiome, train on one donor, map the other as an unseen batch

Each run is added to ``results/TASK.METHOD.json`` when it ends. Runs that are in the file are not
repeated unless ``--again`` is given. Without a task only ``mapping.md`` is written.
"""

from __future__ import annotations

import json
import time
import warnings
from typing import Any

import scvi
import torch
from threadpoolctl import threadpool_limits

from benchmarks.mapping.methods import METHODS
from benchmarks.mapping.page import render, results_file
from benchmarks.mapping.tasks import TASKS
from benchmarks.shared.command_line import make_parser
from benchmarks.shared.pages import save
from benchmarks.shared.results import command, environment, rows, write


def run(task: str, method: str, seed: int, part: str, threads: int) -> dict[str, Any]:
    """Run a method once and add the scores to its file."""
    wall, cpu = time.perf_counter(), time.process_time()
    figures = TASKS[task].function(METHODS[task][method], seed, part)
    new = {
        "seed": seed,
        "part": part,
        "figures": figures,
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
    }
    path = results_file(task, method)
    kept = [r for r in rows(path) if (r["seed"], r["part"]) != (seed, part)]
    found = sorted([*kept, new], key=lambda r: (r["part"], r["seed"]))
    content = {"task": task, "method": method, **environment(threads), "rows": found}
    write(path, command_of(task, method, found, threads), content)
    return new


def command_of(task: str, method: str, rows: list[dict[str, Any]], threads: int) -> str:
    """Command that computes all rows of a file."""
    parts = [part for part in TASKS[task].parts if part in {r["part"] for r in rows}]
    return command(
        "mapping",
        task,
        methods=[method],
        parts=parts if parts != list(TASKS[task].parts) else None,
        seeds=sorted({r["seed"] for r in rows}),
        threads=threads if threads != 1 else None,
    )


def main() -> None:
    """Parse the command line, run, write the page."""
    parser = make_parser(__package__, __doc__)
    parser.add_argument("task", nargs="?", choices=TASKS)
    parser.add_argument("--methods", nargs="+", help="default: all of the task")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--parts", nargs="+", help="default: all of the task")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--again", action="store_true", help="repeat runs that are in the file")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    scvi.settings.verbosity = 30
    torch.set_num_threads(args.threads)
    if args.task is not None:
        known = {"methods": list(METHODS[args.task]), "parts": list(TASKS[args.task].parts)}
        methods, parts = args.methods or known["methods"], args.parts or known["parts"]
        for name, given in (("methods", methods), ("parts", parts)):
            if set(given) - set(known[name]):
                parser.error(f"{name} of {args.task} are {known[name]}, found {given}")
        with threadpool_limits(args.threads):
            for seed in args.seeds:
                for part in parts:
                    for method in methods:
                        done = rows(results_file(args.task, method))
                        if args.again or (seed, part) not in {
                            (r["seed"], r["part"]) for r in done
                        }:
                            row = run(args.task, method, seed, part, args.threads)
                            print(args.task, method, json.dumps(row), flush=True)
    save(render())


if __name__ == "__main__":
    main()
