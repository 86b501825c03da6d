"""Training with counts on disk, compared to counts in memory.

``python -m benchmarks.scale training --cells 20000 100000`` writes simulated cells to zarr stores and
measures the start and one epoch, each in a process of its own.
``python -m benchmarks.scale devices --cells 20000`` measures an epoch in one and in two processes.
``python -m benchmarks.scale order --seeds 0`` measures the effect of the order in which cells are
read on the quality of a model of real cells.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import scvi
import torch

from benchmarks.scale import order, simulate
from benchmarks.scale.page import RESULTS, render
from benchmarks.shared.command_line import make_parser
from benchmarks.shared.pages import save
from benchmarks.shared.results import ROOT, command, environment, rows, write


def main() -> None:
    """Parse the command line, measure, write the page."""
    parser = make_parser(__package__, __doc__)
    parser.add_argument("task", choices=("training", "devices", "order"))
    parser.add_argument("--cells", nargs="+", type=int, default=[20_000])
    parser.add_argument(
        "--places", nargs="+", choices=("disk", "memory"), default=["disk", "memory"]
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--cache", type=Path, default=Path("scale_data"), help="folder of stores")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results files")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    scvi.settings.verbosity = logging.ERROR
    torch.set_num_threads(1)
    if args.task == "training":
        for n in args.cells:
            for place in args.places:
                new = _measured("measure", _store(args.cache, n), place)
                _add(args.out / "training.json", new, ("n_cells", "place"))
    elif args.task == "devices":
        for n in args.cells:
            for new in _measured("devices", _store(args.cache, n)):
                key = ("n_cells", "n_processes", "batch_size")
                _add(args.out / "devices.json", new, key)
    else:
        for seed in args.seeds:
            for variant in order.VARIANTS:
                _add(args.out / "order.json", order.measure(variant, seed), ("variant", "seed"))
    save(render())


def _store(cache: Path, n_cells: int) -> Path:
    """Store of simulated cells, created at first use."""
    path = cache / f"{n_cells}.zarr"
    if not path.exists():
        simulate.write(path, n_cells)
    return path


def _measured(name: str, path: Path, *arguments: str) -> Any:
    """Result of a module that measures in a new process."""
    module = [sys.executable, "-W", "ignore", "-m", f"benchmarks.scale.{name}"]
    done = subprocess.run(
        [*module, str(path.resolve()), *arguments],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    return json.loads(done.stdout.splitlines()[-1])


def _add(path: Path, new: dict[str, Any], key: tuple[str, ...]) -> None:
    """Add a row to a results file, in place of one of the same run."""
    print(new, flush=True)
    kept = [row for row in rows(path) if any(row[name] != new[name] for name in key)]
    found = sorted([*kept, new], key=lambda row: (row.get("seed", 0), row.get("n_cells", 0)))
    if path.stem in ("training", "devices"):
        line = command("scale", path.stem, cells=sorted({row["n_cells"] for row in found}))
    else:
        line = command("scale", "order", seeds=sorted({row["seed"] for row in found}))
    write(path, line, {**environment(1, "zarr", "anndata"), "rows": found})


if __name__ == "__main__":
    main()
