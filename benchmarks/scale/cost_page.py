"""Tables and plot of ``cost.md``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from benchmarks.scale.cost import DATA, GPU, N_EPOCHS, SCALE, Constant, Cost, constants, cost
from benchmarks.shared.pages import fill, markdown
from benchmarks.shared.results import rows

PAGE = Path(__file__).parent / "cost.md"
PLOT = Path(__file__).parent / "cost.svg"
CELLS = np.logspace(5, 8, 61)
GPUS = (1, 8, 64, 256)
TABLE_CELLS, TABLE_GPUS = (10**5, 10**6, 10**7, 10**8), (1, 8, 256)
#: Title of a panel, its unit, and the value of a cost in this unit.
PANELS: dict[str, tuple[str, Callable[[Cost], float]]] = {
    "time": ("hours", lambda c: c.seconds / 3600),
    "memory of a host": ("GiB", lambda c: c.host / 2**30),
    "counts on disk": ("GiB", lambda c: c.disk / 2**30),
    "network": ("GB sent by each GPU in an epoch", lambda c: c.network / 1e9),
}


def render() -> dict[Path, str]:
    """Text of the page."""
    known = constants()
    return {PAGE: fill(PAGE, {"constants": table(known), "cost": totals(known)})}


def table(known: dict[str, Constant]) -> str:
    """Markdown table of the constants."""
    lines = [["constant", "kind", "source", "value"]]
    for value, unit, is_measured, source in known.values():
        kind = "measured" if is_measured else "assumed"
        lines.append([unit, kind, source, f"{value:,.3g}" if value < 100 else f"{value:,.0f}"])
    return markdown(lines, n_left=3)


def totals(known: dict[str, Constant]) -> str:
    """Markdown table of times and memory for several sizes and numbers of GPUs."""
    head = ["data", "cells", "GPUs", "start", "steps", "reading", "reduction", "sum"]
    lines = [[*head, "memory of a GPU", "memory of a host"]]
    for data in DATA:
        for n_cells in TABLE_CELLS:
            for n_gpus in TABLE_GPUS:
                c = cost(known, data, n_cells, n_gpus)
                times = (c.start, c.compute, c.read, c.reduce, c.seconds)
                memory = (f"{b / 2**30:,.1f} GiB" for b in (c.gpu, c.host))
                lines.append([data, f"{n_cells:,}", str(n_gpus), *map(_time, times), *memory])
    return markdown(lines)


def _time(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:,.1f} h"


def draw() -> None:
    """Draw the panels with the measured points."""
    import matplotlib.pyplot as plt

    mpl.rcParams.update(
        {"svg.hashsalt": "cost", "svg.fonttype": "none", "font.size": 8, "axes.titlesize": 9}
    )
    known = constants()
    figure, axes = plt.subplots(2, 4, figsize=(11, 5), sharex=True, layout="constrained")
    colours = mpl.colormaps["viridis"](np.linspace(0, 0.85, len(GPUS)))
    for row, data in zip(axes, DATA, strict=True):
        for axis, (title, (unit, value)) in zip(row, PANELS.items(), strict=True):
            for n_gpus, colour in zip(GPUS, colours, strict=True):
                found = [value(cost(known, data, n, n_gpus)) for n in CELLS]
                if any(found):  # one GPU sends nothing
                    axis.plot(
                        CELLS,
                        found,
                        color=colour,
                        label="1 GPU" if n_gpus == 1 else f"{n_gpus} GPUs",
                    )
            axis.set(title=f"{data}: {title}", ylabel=unit, xscale="log", yscale="log")
        _draw_measured(row, data)
    for axis in axes[1]:
        axis.set_xlabel("cells")
    marks = {
        label: mark
        for axis in axes[:, 0]
        for mark, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        marks.values(), marks, loc="outside lower center", ncols=6, frameon=False, fontsize=7
    )
    figure.savefig(PLOT, metadata={"Date": None})
    plt.close(figure)


def _draw_measured(row: Any, data: str) -> None:
    """Draw the measured points on the panels of one kind of data."""
    time, memory, disk, _ = row
    sizes = rows(SCALE / "reading.json")
    stored = [sum(r["bytes"][m] for m in DATA[data]) / 2**30 for r in sizes]
    disk.plot([r["n_cells"] for r in sizes], stored, "k^")
    if data == "RNA":
        (case,) = (r for r in rows(GPU) if r["case"] == "scaling")
        for n, side in ((10_000, "other"), (100_000, "ours")):
            per_1000 = float(np.median([wall for wall, _ in case[side]]))
            hours = N_EPOCHS * per_1000 * n / 1000 / 3600
            label = (
                "measured: 15 epochs on an H100, 1,500 features, in memory" if n < 1e5 else None
            )
            time.plot(n, hours, "k^", label=label)
        return
    runs = [r for r in rows(SCALE / "training.json") if r["place"] == "disk"]
    n_cells = [r["n_cells"] for r in runs]
    trained = [r for r in runs if "epoch" in r["phases"]]
    hours = [
        (r["phases"]["start"]["cpu"] + N_EPOCHS * r["phases"]["epoch"]["cpu"]) / 3600
        for r in trained
    ]
    time.plot(
        [r["n_cells"] for r in trained],
        hours,
        "kx",
        label="measured: start and 15 x one epoch, one CPU thread",
    )
    peaks = [max(p["mib"] for p in r["phases"].values()) / 1024 for r in runs]
    memory.plot(n_cells, peaks, "kx")
