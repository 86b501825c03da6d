"""Table of ``report.md``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.shared.pages import fill, markdown

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results" / "libraries.json"
_ACTIONS = {"start": "first picture", "recolour": "colour", "move": "move"}


def render() -> dict[Path, str]:
    """Text of the page."""
    rows = json.loads(RESULTS.read_text())["rows"]
    return {FOLDER / "report.md": fill(FOLDER / "report.md", {"libraries": table(rows)})}


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown table with a row for each library and number of cells."""
    head = ["library", "version", "licence", "MB", "cells"]
    lines = [[*head, *(f"{name}, ms" for name in _ACTIONS.values())]]
    for row in rows:
        about = [row["library"], row["version"], row["licence"]]
        size = [f"{row['bytes'] / 1e6:.2f}", f"{row['n_cells']:,}"]
        times = [f"{row[action]:,.0f} ({row[f'{action}_wall']:,.0f})" for action in _ACTIONS]
        lines.append([*about, *size, *times])
    return markdown(lines, n_left=3)
