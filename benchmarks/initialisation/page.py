"""Table of ``initialisation.md``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.initialisation.data import FILES
from benchmarks.initialisation.variants import VARIANTS
from benchmarks.shared.pages import fill, markdown
from benchmarks.shared.results import rows

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results" / "initialisation.json"
#: Scores of a cell of the table, with their digits.
SCORES = {"knn": 3, "nmi": 3, "ari": 3, "mixing": 2, "first to second": 3, "second to first": 3}


def render() -> dict[Path, str]:
    """Text of the page."""
    page = FOLDER / "initialisation.md"
    return {page: fill(page, {"variants": table(rows(RESULTS))})}


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown table with a line per variant and a column per data set."""
    columns = [*FILES, "mean"]
    lines = [["variant", *columns]]
    for variant in dict.fromkeys(row["variant"] for row in rows):
        found = {row["data"]: row for row in rows if row["variant"] == variant}
        lines.append([VARIANTS[variant].title, *(cell(found[name]) for name in columns)])
    return markdown(lines, n_left=len(columns) + 1)


def cell(row: dict[str, Any]) -> str:
    """Scores of a row, without those that the data set does not have."""
    scores = row["scores"]
    return " / ".join(f"{scores[key]:.{n}f}" for key, n in SCORES.items() if key in scores)
