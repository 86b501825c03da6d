"""Tables of ``speed.md`` and ``speed_gpu.md``."""

from __future__ import annotations

from pathlib import Path

from benchmarks.shared import results
from benchmarks.shared.pages import fill
from benchmarks.speed.rows import Row, machines, table

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results"


def read(path: Path) -> list[Row]:
    """Rows of a results file; none if the file does not exist."""
    return [Row.from_json(row) for row in results.rows(path)]


def render() -> dict[Path, str]:
    """Text of the pages, one for each results file."""
    pages = {}
    for name in ("speed", "speed_gpu"):
        rows = read(RESULTS / f"{name}.json")
        page = FOLDER / f"{name}.md"
        pages[page] = fill(page, {"speed": table(rows), "machines": machines(rows)})
    return pages
