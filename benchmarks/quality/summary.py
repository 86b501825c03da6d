"""Summary of ``quality.md``: on how many data sets MultiDGD scores above each other method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

SCORES = {"knn": "kNN", "leiden_nmi": "Leiden NMI", "ilisi": "iLISI"}
#: Column -> methods, of which at most one applies to a data set.
OTHERS = {
    "spectral initialisation": ("start",),
    "pca + harmony": ("pca",),
    "wnn": ("wnn",),
    "scvi-tools": ("totalvi", "multivi", "scvi"),
    "midas": ("midas",),
}


def summary(rows: Mapping[str, list[dict[str, Any]]]) -> list[list[str]]:
    """Header, and a line per score; entries are ``above of measured``.

    Parameters
    ----------
    rows
        Rows of the results by data set. Means over the seeds of a method are compared.
    """
    lines = [["MultiDGD is above", *OTHERS]]
    for key, title in SCORES.items():
        line = [f"in {title}"]
        for methods in OTHERS.values():
            pairs = [
                (mean(mine, ("multidgd",), key), mean(mine, methods, key))
                for mine in rows.values()
            ]
            measured = [(a, b) for a, b in pairs if a is not None and b is not None]
            above = sum(ours > other for ours, other in measured)
            line.append(f"{above} of {len(measured)}" if measured else "-")
        lines.append(line)
    return lines


def mean(rows: list[dict[str, Any]], methods: tuple[str, ...], key: str) -> float | None:
    """Mean of a score over the seeds of the methods; none without results."""
    found = [r["scores"][key] for r in rows if r["method"] in methods and key in r["scores"]]
    return float(np.mean(found)) if found else None
