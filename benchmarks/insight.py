"""Does what MultiDGD says of cells hold?

``python benchmarks/insight.py calibration --seeds 0 1 2``

Tasks are those of the files ``_insight_*.py`` beside this one, each of which has a dictionary
``TASKS`` of :class:`_insight.Task` by name. Every run is added to ``results/insight.TASK.json`` as
it ends and is not done again while it is there (``--again`` does); ``insight.md`` is written from
all of them, without a task from what is there.
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import time
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import scvi
import torch
from _insight import Task, table
from threadpoolctl import threadpool_limits

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results"


def tasks() -> dict[str, Task]:
    """All tasks by name."""
    found: dict[str, Task] = {}
    for path in sorted(FOLDER.glob("_insight_*.py")):
        found |= getattr(importlib.import_module(path.stem), "TASKS", {})
    return found


def read(task: str) -> dict[str, Any]:
    """What is known of a task."""
    path = RESULTS / f"insight.{task}.json"
    return json.loads(path.read_text()) if path.exists() else {"rows": []}


def run(name: str, task: Task, part: str, seed: int, threads: int) -> list[dict[str, Any]]:
    """One run, added to the task's file."""
    scvi.settings.seed = seed
    # scanpy raises it to the number of cores.
    torch.set_num_threads(threads)
    start = time.process_time()
    lines = task.function(part, seed)
    seconds = time.process_time() - start
    new = [
        {"part": part, "seed": seed, "line": line, "figures": figures, "cpu_seconds": seconds}
        for line, figures in lines.items()
    ]
    old = [r for r in read(name)["rows"] if (r["part"], r["seed"]) != (part, seed)]
    found = {
        "task": name,
        "threads": threads,
        "device": platform.processor() or platform.machine(),
        "versions": {p: version(p) for p in ("scvi-tools", "torch", "numpy")},
        "rows": sorted([*old, *new], key=lambda r: (task.parts.index(r["part"]), r["seed"])),
    }
    (RESULTS / f"insight.{name}.json").write_text(json.dumps(found, indent=1) + "\n")
    return new


def page(all_tasks: dict[str, Task]) -> str:
    """All tasks."""
    parts = [
        "# Insight\n\nWritten by `insight.py`. Means over seeds, and standard deviations where "
        "there are several.\n"
    ]
    for name, task in all_tasks.items():
        rows = read(name)["rows"]
        parts.append(f"## {name}\n\n{task.about}\n\n{table(task, rows)}\n")
    return "\n".join(parts)


def main() -> None:
    """Parse the command line, run, write the page."""
    known = tasks()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", nargs="?", choices=known)
    parser.add_argument("--parts", nargs="+", help="default: all of the task")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--again", action="store_true", help="also runs that are there already")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    scvi.settings.verbosity = 30
    if args.task is not None:
        task = known[args.task]
        parts = args.parts or task.parts
        if set(parts) - set(task.parts):
            parser.error(f"parts of {args.task} are {list(task.parts)}, found {parts}")
        with threadpool_limits(args.threads):
            for seed in args.seeds:
                for part in parts:
                    there = {(r["part"], r["seed"]) for r in read(args.task)["rows"]}
                    if args.again or (part, seed) not in there:
                        for row in run(args.task, task, part, seed, args.threads):
                            print(args.task, json.dumps(row), flush=True)
    (FOLDER / "insight.md").write_text(page(known))


if __name__ == "__main__":
    main()
