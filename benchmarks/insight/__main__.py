"""Calibration, labels, differential tests, simulated cells and other results of a trained model.

``python -m benchmarks.insight calibration --seeds 0 1 2``

``insight.md`` explains the tasks. Each run is added to ``results/TASK.json`` when it ends. Runs
that are in the file are not repeated unless ``--again`` is given. Without a task only
``insight.md`` is written.
"""

from __future__ import annotations

import json
import os
import time
import warnings
from pathlib import Path
from typing import Any

import scvi
import torch
from threadpoolctl import threadpool_limits

from benchmarks.insight.abundance import PYTHON_OTHER
from benchmarks.insight.page import render, results_file
from benchmarks.insight.task import Task
from benchmarks.insight.tasks import TASKS
from benchmarks.shared.command_line import make_parser
from benchmarks.shared.pages import save
from benchmarks.shared.results import command, environment, rows, write


def run(name: str, task: Task, part: str, seed: int, threads: int) -> list[dict[str, Any]]:
    """Run a part of a task once and add the scores to its file."""
    scvi.settings.seed = seed
    # scanpy sets the number of threads to the number of cores.
    torch.set_num_threads(threads)
    start = time.process_time()
    lines = task.function(part, seed)
    seconds = time.process_time() - start
    new = [
        {"part": part, "seed": seed, "line": line, "figures": figures, "cpu_seconds": seconds}
        for line, figures in lines.items()
    ]
    path = results_file(name)
    kept = [r for r in rows(path) if (r["part"], r["seed"]) != (part, seed)]
    found = sorted([*kept, *new], key=lambda r: (task.parts.index(r["part"]), r["seed"]))
    content = {"task": name, **environment(threads), "rows": found}
    write(path, command_of(name, found, threads), content)
    return new


def command_of(name: str, rows: list[dict[str, Any]], threads: int) -> str:
    """Command that computes all rows of a file."""
    parts = list(dict.fromkeys(r["part"] for r in rows))
    return command(
        "insight",
        name,
        parts=parts if parts != list(TASKS[name].parts) else None,
        seeds=sorted({r["seed"] for r in rows}),
        threads=threads if threads != 1 else None,
        python_other="OTHER/bin/python" if any("Milo" in r["line"] for r in rows) else None,
    )


def main() -> None:
    """Parse the command line, run, write the page."""
    parser = make_parser(__package__, __doc__)
    parser.add_argument("task", nargs="?", choices=TASKS)
    parser.add_argument("--parts", nargs="+", help="default: all of the task")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--python-other", type=Path, help="interpreter with pertpy, for Milo")
    parser.add_argument("--again", action="store_true", help="repeat runs that are in the file")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    scvi.settings.verbosity = 30
    if args.python_other is not None:
        os.environ[PYTHON_OTHER] = str(args.python_other.absolute())
    if args.task is not None:
        task = TASKS[args.task]
        parts = args.parts or task.parts
        if set(parts) - set(task.parts):
            parser.error(f"parts of {args.task} are {list(task.parts)}, found {parts}")
        with threadpool_limits(args.threads):
            for seed in args.seeds:
                for part in parts:
                    done = {(r["part"], r["seed"]) for r in rows(results_file(args.task))}
                    if args.again or (part, seed) not in done:
                        for row in run(args.task, task, part, seed, args.threads):
                            print(args.task, json.dumps(row), flush=True)
    save(render())


if __name__ == "__main__":
    main()
