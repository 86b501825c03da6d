"""Tables of ``quality.md``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.shared.data import DATASETS
from benchmarks.shared.methods import METHODS
from benchmarks.shared.pages import fill, markdown, mean_and_deviation
from benchmarks.shared.results import rows

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results"
#: Key of a score -> column of the table.
COLUMNS = {
    "knn": "knn",
    "knn_held_out": "knn held-out",
    "nmi": "nmi",
    "ari": "ari",
    "batch_mixing": "mixing",
    "rna_r": "rna r",
    "rna_r_by_gene": "r/gene",
    "rna_rmse": "rmse",
    "atac_auprc": "auprc",
    "prot_r": "prot r",
    "prot_r_by_protein": "r/prot",
}


def render() -> dict[Path, str]:
    """Text of the page."""
    tables = {}
    for name in DATASETS:
        found = [row for path in sorted(RESULTS.glob(f"{name}.*.json")) for row in rows(path)]
        found.sort(key=lambda row: (list(METHODS).index(row["method"]), row["seed"]))
        tables[name] = markdown(table(found))
    page = FOLDER / "quality.md"
    return {page: fill(page, tables)}


def table(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Header, and a line per method with means and standard deviations over seeds."""
    names = list(dict.fromkeys(row["method"] for row in rows))
    keys = [k for k in COLUMNS if any(k in row["scores"] for row in rows)]
    lines = [["method", *(COLUMNS[k] for k in keys), "epochs", "seconds"]]
    for name in names:
        mine = [row for row in rows if row["method"] == name]
        cells = [f"{METHODS[name][0]} ({len(mine)})"]
        for key in keys:
            values = [row["scores"][key] for row in mine if key in row["scores"]]
            cells.append(mean_and_deviation(values, "±"))
        epochs = [row["epochs"] for row in mine if row["epochs"] is not None]
        star = "" if all(row["default_epochs"] for row in mine) else "*"
        cells.append(f"{np.mean(epochs):.0f}{star}" if epochs else "-")
        times = [row["times"] for row in mine if "train_seconds" in row["times"]]
        wall, cpu = ([t[f"train_{k}seconds"] for t in times] for k in ("", "cpu_"))
        cells.append(f"{np.mean(wall):.1f} ({np.mean(cpu):.1f})" if times else "-")
        lines.append(cells)
    return lines
