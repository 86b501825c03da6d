"""Tables of ``defaults.md``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.shared.pages import fill, markdown
from benchmarks.shared.results import rows

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results"
#: Scores of a row and their decimals, in the order of the page.
SCORES = {"knn": 3, "leiden_nmi": 3, "ilisi": 3, "loss": 0}


def render() -> dict[Path, str]:
    """Text of the page; each results file is a table."""
    page = FOLDER / "defaults.md"
    return {page: fill(page, {path.stem: table(rows(path)) for path in RESULTS.glob("*.json")})}


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown table with a line per variant and a column per data set."""
    names = list(dict.fromkeys(row["data"] for row in rows))
    lines = [["", *names]]
    for variant in dict.fromkeys(row["variant"] for row in rows):
        found = {row["data"]: row for row in rows if row["variant"] == variant}
        lines.append([variant, *(cell(found[name]) for name in names)])
    return markdown(lines, n_left=len(names) + 1)


def cell(row: dict[str, Any]) -> str:
    """Scores of a row; a dash without batches."""
    return " / ".join(
        f"{row[score]:.{digits}f}" if score in row else "-" for score, digits in SCORES.items()
    )
