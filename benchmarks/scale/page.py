"""Tables of ``scale.md``."""

from __future__ import annotations

from pathlib import Path

from benchmarks.shared.pages import fill, markdown, mean_and_deviation
from benchmarks.shared.results import rows

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results"
PHASES = ("setup", "start", "epoch")


def render() -> dict[Path, str]:
    """Text of the page."""
    page = FOLDER / "scale.md"
    return {page: fill(page, {"training": training(), "devices": devices(), "order": order()})}


def training() -> str:
    """Markdown table with a line per size and place of the data."""
    names = [f"{phase}, s" for phase in PHASES]
    lines = [["cells", "counts", *names, "cells/s", "peak memory, MiB"]]
    for row in rows(RESULTS / "training.json"):
        phases = row["phases"]
        seconds = [phases[phase]["cpu"] for phase in PHASES]
        lines.append(
            [
                f"{row['n_cells']:,}",
                "on disk" if row["place"] == "disk" else "in memory",
                *(f"{s:.1f}" for s in seconds),
                f"{0.9 * row['n_cells'] / seconds[-1]:,.0f}",
                f"{max(phase['mib'] for phase in phases.values()):,.0f}",
            ]
        )
    return markdown(lines, n_left=2)


def devices() -> str:
    """Markdown table with a line per number of processes and size of minibatches."""
    names = (
        "processes",
        "cells per minibatch",
        "processor, s",
        "cells per processor s",
        "wall, s",
    )
    lines = [list(names)]
    for row in rows(RESULTS / "devices.json"):
        n = row["n_processes"]
        lines.append(
            [
                str(n),
                f"{n} x {row['batch_size']}",
                f"{row['cpu']:.1f}",
                f"{0.9 * row['n_cells'] / row['cpu']:,.0f}",
                f"{row['wall']:.1f}",
            ]
        )
    return markdown(lines, n_left=2)


def order() -> str:
    """Markdown table with a line per size of blocks and buffers."""
    found = rows(RESULTS / "order.json")
    lines = [["cells of a block x blocks of a buffer", "accuracy", "validation loss", "seeds"]]
    for variant in dict.fromkeys(row["variant"] for row in found):
        own = [row for row in found if row["variant"] == variant]
        scores = [[row[key] for row in own] for key in ("knn_accuracy", "validation_loss")]
        lines.append([variant, *map(mean_and_deviation, scores), str(len(own))])
    return markdown(lines)
