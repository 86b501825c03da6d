"""Training and mapping with counts on disk, compared to counts in memory.

``python -m benchmarks.scale training --cells 20000 100000`` writes simulated cells to zarr stores and
measures the start, one epoch and the mapping of other cells, each training in a process of its own.
``python -m benchmarks.scale reading --cells 100000`` measures the size of the stores and the time of
reading them; without ``--time``, only the size.
``python -m benchmarks.scale cost`` draws the plot of the estimated cost of larger data.
``python -m benchmarks.scale devices --cells 20000`` measures an epoch in one and in two processes.
``python -m benchmarks.scale rows --cells 1000000`` measures the memory of a training whose tables of one
row for each cell are in memory or in mapped files.
``python -m benchmarks.scale order --seeds 0`` measures the effect of the order in which cells are
read on the quality of a model of real cells.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks.scale import cost_page, order, reading, simulate
from benchmarks.scale.page import RESULTS, render
from benchmarks.shared.command_line import make_parser
from benchmarks.shared.pages import save
from benchmarks.shared.quiet import hide_messages
from benchmarks.shared.results import ROOT, command, environment, rows, write


def main() -> None:
    """Parse the command line, measure, write the page."""
    parser = make_parser(__package__, __doc__)
    parser.add_argument(
        "task", choices=("training", "reading", "devices", "rows", "cost", "order")
    )
    parser.add_argument("--cells", nargs="+", type=int, default=[20_000])
    parser.add_argument(
        "--places", nargs="+", choices=("disk", "memory"), default=["disk", "memory"]
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--cache", type=Path, default=Path("scale_data"), help="folder of stores")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results files")
    parser.add_argument("--time", action="store_true", help="time the reading, too")
    args = parser.parse_args()
    hide_messages()
    torch.set_num_threads(1)
    if args.task == "training":
        for n in args.cells:
            paths = [_store(args.cache, n), _store(args.cache, n // 10, sample=1)]
            for place in args.places:
                _add(
                    args.out / "training.json",
                    _measured("measure", *paths, place),
                    ("n_cells", "place"),
                )
    elif args.task == "reading":
        for n in args.cells:
            found = reading.measure(_store(args.cache, n), is_read=args.time)
            _add(args.out / "reading.json", found, ("n_cells", "n_cells"))
    elif args.task == "devices":
        for n in args.cells:
            for new in _measured("devices", _store(args.cache, n)):
                key = ("n_cells", "n_processes", "batch_size")
                _add(args.out / "devices.json", new, key)
    elif args.task == "rows":
        for n in args.cells:
            for place in ("memory", "mapped"):
                found = _measured("row_tables", str(n), place)
                _add(args.out / "rows.json", found, ("n_cells", "place"))
    elif args.task == "order":
        for seed in args.seeds:
            for variant in order.VARIANTS:
                _add(args.out / "order.json", order.measure(variant, seed), ("variant", "seed"))
    if args.task == "cost":
        cost_page.draw()
    save(render())


def _store(folder: Path, n_cells: int, sample: int = 0) -> Path:
    """Store of simulated cells, written if it does not exist."""
    path = folder / (f"{n_cells}.zarr" if sample == 0 else f"query_{n_cells}.zarr")
    if not path.exists():
        simulate.write(path, n_cells, sample=sample)
    return path


def _measured(name: str, *arguments: Path | str) -> Any:
    """Result of a module that measures in a new process."""
    module = [sys.executable, "-W", "ignore", "-m", f"benchmarks.scale.{name}"]
    given = [str(a.resolve()) if isinstance(a, Path) else a for a in arguments]
    done = subprocess.run(
        [*module, *given],
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
    if path.stem == "order":
        line = command("scale", path.stem, seeds=sorted({row["seed"] for row in found}))
    else:
        options = {"time": True} if any("seconds" in row for row in found) else {}
        cells = sorted({row["n_cells"] for row in found})
        line = command("scale", path.stem, cells=cells, **options)
    write(path, line, {**environment(1, "zarr", "anndata"), "rows": found})


if __name__ == "__main__":
    main()
