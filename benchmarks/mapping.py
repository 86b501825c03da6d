"""How well does MultiDGD place cells it has never seen, or of which it has seen only a part?

``python benchmarks/mapping.py protein --methods multidgd totalvi --seeds 0 1 2``

Tasks (``_mapping_tasks.py`` is their definition):

- protein: pbmc10k_cite, 10 % of the cells by seed with RNA only; predict their 14 proteins
- multiome: bmmc_multiome, 10 % of the cells by seed; predict ATAC from RNA and RNA from ATAC
- protocols: sc_mixology, train on four protocols, map the fifth, each in turn
- donors: bmmc_multiome, train on one donor, map the other one as an unseen batch
- mosaic: cells with one modality among those with the other

Every run is added to ``results/mapping.TASK.METHOD.json`` as it ends and is not done again while
it is there (``--again`` does); ``mapping.md`` is written from all of them, without a task from
what is there.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import scvi
import torch
from _mapping_baselines import SOLVERS as BASELINES
from _mapping_multidgd import SOLVERS as MULTIDGD
from _mapping_scvi import SOLVERS as SCVI
from _mapping_tasks import TASKS
from threadpoolctl import threadpool_limits

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results"
SOLVERS: dict[tuple[str, str], Callable[..., Any]] = {**MULTIDGD, **SCVI, **BASELINES}


def read(task: str, method: str) -> dict[str, Any]:
    """What is known of a method on a task."""
    path = RESULTS / f"mapping.{task}.{method}.json"
    return json.loads(path.read_text()) if path.exists() else {"rows": []}


def run(task: str, method: str, seed: int, part: str, threads: int) -> dict[str, Any]:
    """One run, added to its file."""
    wall, cpu = time.perf_counter(), time.process_time()
    figures = TASKS[task][0](SOLVERS[task, method], seed, part)
    row = {
        "seed": seed,
        "part": part,
        "figures": figures,
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
    }
    packages = {p: version(p) for p in ("scvi-tools", "torch", "numpy", "scikit-learn")}
    rows = [r for r in read(task, method)["rows"] if (r["seed"], r["part"]) != (seed, part)]
    found = {
        "task": task,
        "method": method,
        "threads": threads,
        "device": platform.processor() or platform.machine(),
        "versions": packages,
        "rows": sorted([*rows, row], key=lambda r: (r["part"], r["seed"])),
    }
    path = RESULTS / f"mapping.{task}.{method}.json"
    path.write_text(json.dumps(found, indent=1) + "\n")
    return row


def table(task: str) -> str:
    """A line a method and part: mean over seeds and, where there are several, their deviation."""
    columns = TASKS[task][2]
    lines = [["method", "seeds", *columns.values(), "seconds"]]
    lines.append(["---", *["---:"] * (len(lines[0]) - 1)])
    for part in TASKS[task][1]:
        for method in [m for t, m in SOLVERS if t == task]:
            rows = [r for r in read(task, method)["rows"] if r["part"] == part]
            if rows:
                name = f"{method}, {part}" if part else method
                lines.append([name, *summary(rows, list(columns))])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def summary(rows: list[dict[str, Any]], columns: list[str]) -> list[str]:
    """Number of seeds, each figure, processor seconds."""
    cells = [str(len(rows))]
    for key in columns:
        values = [r["figures"][key] for r in rows if key in r["figures"]]
        spread = f" ± {np.std(values):.3f}" if len(values) > 1 else ""
        cells.append(f"{np.mean(values):.3f}{spread}" if values else "-")
    return [*cells, f"{np.mean([r['cpu_seconds'] for r in rows]):.0f}"]


def page() -> str:
    """All tasks."""
    parts = [
        "# Mapping\n\nWritten by `mapping.py`; `README.md` says what the tasks and figures are. "
        "Means and standard deviations over seeds; seconds are those of the processor, one "
        "thread, training included.\n"
    ]
    for task, (function, _, _) in TASKS.items():
        parts.append(f"## {task}\n\n{function.__doc__}\n\n{table(task)}\n")
    return "\n".join(parts)


def main() -> None:
    """Parse the command line, run, write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", nargs="?", choices=TASKS)
    parser.add_argument("--methods", nargs="+", help="default: all there are for the task")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--parts", nargs="+", help="default: all of the task")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--again", action="store_true", help="also runs that are there already")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    scvi.settings.verbosity = 30
    torch.set_num_threads(args.threads)
    if args.task is not None:
        known = [m for t, m in SOLVERS if t == args.task]
        methods = args.methods or known
        parts = args.parts or TASKS[args.task][1]
        for given, there, what in (
            (methods, known, "methods"),
            (parts, TASKS[args.task][1], "parts"),
        ):
            if set(given) - set(there):
                parser.error(f"{what} of {args.task} are {list(there)}, found {given}")
        with threadpool_limits(args.threads):
            for seed in args.seeds:
                for part in parts:
                    for method in methods:
                        rows = read(args.task, method)["rows"]
                        there = any((r["seed"], r["part"]) == (seed, part) for r in rows)
                        if args.again or not there:
                            row = run(args.task, method, seed, part, args.threads)
                            print(args.task, method, json.dumps(row), flush=True)
    (FOLDER / "mapping.md").write_text(page())


if __name__ == "__main__":
    main()
