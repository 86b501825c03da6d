"""Table of ``count_split.md``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.shared.data import DATASETS
from benchmarks.shared.pages import fill, markdown, mean_and_deviation
from benchmarks.shared.results import rows

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results"


def render() -> dict[Path, str]:
    """Text of the page."""
    page = FOLDER / "count_split.md"
    return {page: fill(page, {"scores": table()})}


def table() -> str:
    """Markdown table with a line per data set and method."""
    lines = [["data", "method", "RNA", "r", "ATAC or protein", "r", "seeds"]]
    for name in DATASETS:
        found = rows(RESULTS / f"{name}.json")
        for method in dict.fromkeys(row["method"] for row in found):
            lines.append([name, *line(method, [r for r in found if r["method"] == method])])
    return markdown(lines, n_left=2)


def line(method: str, rows: list[dict[str, Any]]) -> list[str]:
    """Cells of one method: means and standard deviations over seeds."""
    cells = []
    for names in (("rna",), ("atac", "prot")):
        found = [row[name] for row in rows for name in names if name in row]
        cells += [mean_and_deviation([f[key] for f in found]) for key in ("score", "r")]
    epochs = {row["max_epochs"] for row in rows} - {None}
    title = f"{method} ({epochs.pop()} epochs)" if epochs else method
    return [title, *cells, str(len(rows))]
