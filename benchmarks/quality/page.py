"""Tables of ``quality.md``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality.methods import METHODS
from benchmarks.quality.summary import summary
from benchmarks.shared.data import DATASETS
from benchmarks.shared.pages import fill, markdown, mean_and_deviation
from benchmarks.shared.results import rows

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results"
#: Key of a score -> column of the table.
COLUMNS = {
    "knn": "kNN",
    "leiden_nmi": "Leiden NMI",
    "kmeans_nmi": "k-means NMI",
    "kmeans_ari": "k-means ARI",
    "isolated_labels": "isolated",
    "clisi": "cLISI",
    "ilisi": "iLISI",
    "kbet": "kBET",
    "bras": "BRAS",
}
MODALITIES = {"rna": "RNA", "atac": "ATAC", "prot": "protein", "adt": "protein"}

Rows = list[dict[str, Any]]


def render() -> dict[Path, str]:
    """Text of the page."""
    found = {name: rows(RESULTS / f"{name}.json") for name in DATASETS}
    tables = {"summary": markdown(summary(found))}
    for name, mine in found.items():
        tables[name] = markdown(embedding_table(mine)) if mine else "Not measured."
        tables[f"{name}.count_split"] = markdown(count_split_table(mine)) if mine else ""
    page = FOLDER / "quality.md"
    return {page: fill(page, tables)}


def by_method(rows: Rows) -> dict[str, Rows]:
    """Rows of each method, in the order of the methods."""
    found = {name: [row for row in rows if row["method"] == name] for name in METHODS}
    return {name: mine for name, mine in found.items() if mine}


def embedding_table(rows: Rows) -> list[list[str]]:
    """Header, and a line per method with means and standard deviations over seeds."""
    keys = [key for key in COLUMNS if any(key in row["scores"] for row in rows)]
    lines = [["method", *(COLUMNS[key] for key in keys), "epochs", "seconds"]]
    for name, mine in by_method(rows).items():
        if not any(row["scores"] for row in mine):
            continue
        scores = [
            mean_and_deviation([row["scores"][key] for row in mine if key in row["scores"]], "±")
            for key in keys
        ]
        seconds = np.mean([row["cpu_seconds"] for row in mine])
        lines.append([f"{METHODS[name].title} ({len(mine)})", *scores, epochs(mine)])
        lines[-1].append(f"{seconds:.1f}")
    return lines


def epochs(rows: Rows) -> str:
    """Mean number of epochs, with a star if it was set by hand."""
    found = [row["epochs"] for row in rows if row["epochs"] is not None]
    star = "*" if any(row["max_epochs"] is not None for row in rows) else ""
    return f"{np.mean(found):.0f}{star}" if found else "-"


def count_split_table(rows: Rows) -> list[list[str]]:
    """Header, and a line per prediction of a method with scores of each modality."""
    predictions = [scores for row in rows for scores in row["count_split"].values()]
    names = [name for name in MODALITIES if any(name in scores for scores in predictions)]
    heads = [head for name in names for head in (f"{MODALITIES[name]} score", "r")]
    lines = [["method", *heads]]
    for method, mine in by_method(rows).items():
        for key in dict.fromkeys(key for row in mine for key in row["count_split"]):
            title = METHODS[method].title + (f", {key}" if key else "")
            line = [f"{title} ({len(mine)})"]
            for name in names:
                found = [row["count_split"][key].get(name) for row in mine]
                for figure in ("score", "r"):
                    # Without 0.0, the average profile has a score of "-0.000".
                    values = [round(f[figure], 6) + 0.0 for f in found if f]
                    line.append(mean_and_deviation(values, "±"))
            lines.append(line)
    return lines
