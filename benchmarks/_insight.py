"""What a task of ``insight.py`` is, and its table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Figures = dict[str, float]
QUIET = {"enable_progress_bar": False, "accelerator": "cpu", "logger": False}


@dataclass(frozen=True)
class Task:
    """A question that is asked of each part (data set, setting) with each seed.

    ``function(part, seed)`` returns figures by line of the table; ``columns`` names those that
    are shown, in their order; ``about`` says what they are.
    """

    function: Callable[[str, int], dict[str, Figures]]
    parts: Sequence[str]
    columns: dict[str, str]
    about: str


def table(task: Task, rows: list[dict[str, Any]]) -> str:
    """A line a part and line of it, as Markdown."""
    lines = [["part", "", "seeds", *task.columns.values()]]
    lines.append(["---", "---", *["---:"] * (len(task.columns) + 1)])
    for part in task.parts:
        here = [r for r in rows if r["part"] == part]
        for line in dict.fromkeys(r["line"] for r in here):
            figures = [r["figures"] for r in here if r["line"] == line]
            lines.append([part, line, str(len(figures)), *_summary(figures, list(task.columns))])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _summary(figures: list[Figures], columns: list[str]) -> list[str]:
    cells = []
    for key in columns:
        values = [f[key] for f in figures if key in f]
        spread = f" ± {np.std(values):.3f}" if len(values) > 1 else ""
        cells.append(f"{np.mean(values):.3f}{spread}" if values else "-")
    return cells
