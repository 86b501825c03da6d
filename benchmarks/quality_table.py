"""All results of ``quality.py`` as one page.

``python benchmarks/quality_table.py`` reads ``benchmarks/results/DATA.*.json`` and writes
``benchmarks/quality.md``.
"""

from __future__ import annotations

import json
from pathlib import Path

from _data import DATASETS
from quality import table

FOLDER = Path(__file__).parent
ORDER = (
    "multidgd",
    "multidgd-no-labels",
    "spectral",
    "multivi",
    "totalvi",
    "scvi",
    "pca",
    "mean",
)


def markdown(lines: list[list[str]]) -> str:
    """The same table for a page."""
    head, *rest = lines
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *rest))


def main() -> None:
    """Write the page."""
    parts = [
        "# Quality\n\nWritten by `quality_table.py` from `results/`; `quality.py` says what the "
        "columns are and how to measure them again. Means and standard deviations over seeds "
        "(their number in brackets); epochs set by hand are marked `*`; seconds of training on "
        "one thread of a shared machine on different days, processor seconds in brackets.\n"
    ]
    for name in DATASETS:
        rows = []
        for path in sorted((FOLDER / "results").glob(f"{name}.*.json")):
            rows += json.loads(path.read_text())["rows"]
        rows.sort(key=lambda row: (ORDER.index(row["method"]), row["seed"]))
        if rows:
            parts.append(f"## {name}\n\n{markdown(table(rows))}\n")
    (FOLDER / "quality.md").write_text("\n".join(parts))


if __name__ == "__main__":
    main()
