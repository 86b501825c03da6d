"""Tables of ``mapping.md``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.mapping.methods import METHODS
from benchmarks.mapping.tasks import TASKS
from benchmarks.shared.pages import fill, markdown, mean_and_deviation
from benchmarks.shared.results import rows

FOLDER = Path(__file__).parent


def results_file(task: str, method: str) -> Path:
    """Results file of a method on a task."""
    return FOLDER / "results" / f"{task}.{method}.json"


def render() -> dict[Path, str]:
    """Text of the page."""
    page = FOLDER / "mapping.md"
    return {page: fill(page, {task: table(task) for task in TASKS})}


def table(task: str) -> str:
    """Markdown table with a line per part and method: means and deviations over seeds."""
    columns = TASKS[task].columns
    lines = [["method", "seeds", *columns.values(), "seconds"]]
    for part in TASKS[task].parts:
        for method in METHODS[task]:
            found = [r for r in rows(results_file(task, method)) if r["part"] == part]
            if found:
                name = f"{method}, {part}" if part else method
                lines.append([name, *summary(found, list(columns))])
    return markdown(lines)


def summary(rows: list[dict[str, Any]], columns: list[str]) -> list[str]:
    """Number of seeds, each score, processor time (s)."""
    cells = [str(len(rows))]
    for key in columns:
        values = [r["figures"][key] for r in rows if key in r["figures"]]
        cells.append(mean_and_deviation(values))
    return [*cells, f"{np.mean([r['cpu_seconds'] for r in rows]):.0f}"]
