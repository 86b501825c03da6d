"""Tables of ``mosaics.md``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.mosaics.methods import METHODS
from benchmarks.mosaics.mosaic import MOSAICS, PUBLISHED
from benchmarks.shared.pages import fill, markdown, mean_and_deviation
from benchmarks.shared.results import rows

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results"
#: Key of a score -> column of the table.
EMBEDDING = {
    "foscttm": "FOSCTTM",
    "nearest_type": "nearest type",
    "knn_first_among_second": "1 in 2",
    "knn_second_among_first": "2 in 1",
    "knn_first_among_paired": "1 in both",
    "knn_second_among_paired": "2 in both",
    "mixing": "mixing",
}
IMPUTATION = {
    "rna_r": "RNA r/cell",
    "rna_r_by_gene": "r/gene",
    "prot_r": "protein r/cell",
    "prot_r_by_protein": "r/protein",
    "atac_r": "ATAC r/cell",
    "atac_r_by_peak": "r/peak",
    "atac_auprc": "AUPRC",
}
NOT_MEASURED = "Not measured."

Rows = list[dict[str, Any]]


def render() -> dict[Path, str]:
    """Text of the page."""
    tables = {}
    for name in MOSAICS:
        found = rows(RESULTS / f"{name}.json")
        tables[name] = embedding_table(found)
        if name != PUBLISHED:
            tables[f"{name}.imputation"] = imputation_table(found)
    page = FOLDER / "mosaics.md"
    return {page: fill(page, tables)}


def embedding_table(rows: Rows) -> str:
    """Line per method with scores of the representation, epochs and seconds."""
    keys = _measured(EMBEDDING, "scores", rows)
    lines = [["method", *(EMBEDDING[key] for key in keys), "epochs", "seconds"]]
    for name in METHODS:
        mine = [row for row in rows if row["method"] == name]
        if mine:
            seconds = f"{np.mean([row['cpu_seconds'] for row in mine]):.1f}"
            scores = _summaries(keys, "scores", mine)
            lines.append([_title(name, mine), *scores, _epochs(mine), seconds])
    return markdown(lines) if rows else NOT_MEASURED


def imputation_table(rows: Rows) -> str:
    """Line per method that imputes, with scores of each modality."""
    keys = _measured(IMPUTATION, "imputation", rows)
    lines = [["method", *(IMPUTATION[key] for key in keys)]]
    for name in METHODS:
        mine = [row for row in rows if row["method"] == name and row["imputation"]]
        if mine:
            lines.append([_title(name, mine), *_summaries(keys, "imputation", mine)])
    return markdown(lines) if keys else NOT_MEASURED


def _measured(columns: dict[str, str], kind: str, rows: Rows) -> list[str]:
    return [key for key in columns if any(key in row[kind] for row in rows)]


def _summaries(keys: list[str], kind: str, rows: Rows) -> list[str]:
    """Mean and standard deviation of each score over seeds."""
    return [
        mean_and_deviation([row[kind][key] for row in rows if key in row[kind]], "±")
        for key in keys
    ]


def _title(method: str, rows: Rows) -> str:
    return f"{METHODS[method].title} ({len(rows)})"


def _epochs(rows: Rows) -> str:
    """Mean number of epochs, with a star if it was set by hand."""
    found = [row["epochs"] for row in rows if row["epochs"] is not None]
    star = "*" if any(row["max_epochs"] is not None for row in rows) else ""
    return f"{np.mean(found):.0f}{star}" if found else "-"
