"""Tables of ``scale.md`` and ``cost.md``."""

from __future__ import annotations

from pathlib import Path

from benchmarks.scale import cost_page
from benchmarks.shared.pages import fill, markdown, mean_and_deviation
from benchmarks.shared.results import rows

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results"
PHASES = ("setup", "start", "epoch", "end", "query")


def render() -> dict[Path, str]:
    """Text of the pages."""
    page = FOLDER / "scale.md"
    tables = {
        "training": training(),
        "reading": reading(),
        "rows": row_tables(),
        "devices": devices(),
        "order": order(),
    }
    return {page: fill(page, tables), **cost_page.render()}


def training() -> str:
    """Markdown table with a line per size and place of the data."""
    names = [f"{phase}, s" for phase in PHASES]
    head = ["cells", "counts", *names, "epoch, cells/s", "query, cells/s", "peak memory, MiB"]
    lines = [head]
    for row in rows(RESULTS / "training.json"):
        phases = row["phases"]
        seconds = {phase: found["cpu"] for phase, found in phases.items()}
        rates = (("n_train", "epoch"), ("n_query", "query"))
        lines.append(
            [
                f"{row['n_cells']:,}",
                "on disk" if row["place"] == "disk" else "in memory",
                *(f"{seconds[p]:.1f}" if p in seconds else "-" for p in PHASES),
                *(f"{row[n] / seconds[p]:,.0f}" if p in seconds else "-" for n, p in rates),
                f"{max(phase['mib'] for phase in phases.values()):,.0f}",
            ]
        )
    return markdown(lines, n_left=2)


def reading() -> str:
    """Markdown table with a line per store."""
    lines = [["cells", "non-zeros, millions", "on disk, MiB", "bytes per non-zero", "cells/s"]]
    for row in rows(RESULTS / "reading.json"):
        n, size = sum(row["n_nonzeros"].values()), sum(row["bytes"].values())
        rate = f"{row['n_cells'] / row['seconds']['cpu']:,.0f}" if "seconds" in row else "-"
        lines.append(
            [
                f"{row['n_cells']:,}",
                f"{n / 1e6:,.0f}",
                f"{size / 2**20:,.0f}",
                f"{size / n:.2f}",
                rate,
            ]
        )
    return markdown(lines, n_left=0)


def row_tables() -> str:
    """Markdown table with a line per number of cells and place of the tables."""
    found = rows(RESULTS / "rows.json")
    phases = list(found[0]["bytes_per_cell"]) if found else []
    lines = [["cells", "tables", *phases, "peak"]]
    for row in found:
        peaks = row["bytes_per_cell"]
        place = "in memory" if row["place"] == "memory" else "mapped"
        values = [*(peaks[phase] for phase in phases), max(peaks.values())]
        lines.append([f"{row['n_cells']:,}", place, *(f"{v:,.0f}" for v in values)])
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
