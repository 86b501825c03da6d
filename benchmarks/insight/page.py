"""Tables of ``insight.md``."""

from __future__ import annotations

from pathlib import Path

from benchmarks.insight.task import Task
from benchmarks.insight.tasks import TASKS
from benchmarks.shared.pages import fill, markdown, mean_and_deviation
from benchmarks.shared.results import rows

FOLDER = Path(__file__).parent


def results_file(name: str) -> Path:
    """Results file of a task."""
    return FOLDER / "results" / f"{name}.json"


def render() -> dict[Path, str]:
    """Text of the page."""
    page = FOLDER / "insight.md"
    return {page: fill(page, {name: table(name, task) for name, task in TASKS.items()})}


def table(name: str, task: Task) -> str:
    """Markdown table with a line per part and line of it: means and deviations over seeds."""
    lines = [["part", "", "seeds", *task.columns.values()]]
    for part in task.parts:
        here = [r for r in rows(results_file(name)) if r["part"] == part]
        for line in dict.fromkeys(r["line"] for r in here):
            figures = [r["figures"] for r in here if r["line"] == line]
            values = ([f[key] for f in figures if key in f] for key in task.columns)
            lines.append([part, line, str(len(figures)), *map(mean_and_deviation, values)])
    return markdown(lines, n_left=2)
