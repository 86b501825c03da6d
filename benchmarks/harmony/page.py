"""Tables of ``harmony.md``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.shared.pages import fill

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results" / "harmony.json"
COLUMNS = {"knn": "kNN", "nmi": "NMI", "ilisi": "iLISI", "mixing": "mixing", "seconds": "seconds"}


def render() -> dict[Path, str]:
    """Text of the page."""
    page, found = FOLDER / "harmony.md", json.loads(RESULTS.read_text())
    return {
        page: fill(
            page, {"scores": table(found["rows"]), "scaling": scaling_table(found["scaling"])}
        )
    }


def scaling_table(rows: list[dict[str, Any]]) -> str:
    """Markdown table of the mean processor time, a column for each number of cells."""
    seconds = pd.DataFrame(rows).pivot_table("seconds", "method", "n_cells", sort=False)
    lines = [
        "| removal | " + " | ".join(f"{n:,} cells" for n in seconds) + " |",
        "|---|" + "--:|" * seconds.shape[1],
    ]
    lines += [
        f"| {m} | " + " | ".join(f"{s:.2f}" for s in row) + " |" for m, row in seconds.iterrows()
    ]
    return "\n".join(lines)


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown table with the mean over seeds, the best score of each data set in bold."""
    frame = pd.DataFrame(rows)
    lines = [
        "| data | cells | removal | " + " | ".join(COLUMNS.values()) + " |",
        "|---|--:|---|" + "--:|" * len(COLUMNS),
    ]
    for name, part in frame.groupby("data", sort=False):
        means = part.groupby("method", sort=False)[list(COLUMNS)].mean()
        best = means.drop(columns="seconds").round(3).max()
        for method, mean in means.iterrows():
            cells = []
            for key in COLUMNS:
                text = f"{mean[key]:.3f}"
                is_best = key in best and round(mean[key], 3) == best[key]
                cells.append(f"**{text}**" if is_best else text)
            if method == "none":
                cells[-1] = "-"
            n_cells = f"{part['n_cells'].iloc[0]:,}"
            lines.append(f"| {name} | {n_cells} | {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
