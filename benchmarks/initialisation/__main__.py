"""Comparison of variants of the spectral initialisation on six data sets.

``python -m benchmarks.initialisation`` scores all variants and writes the results file and
``initialisation.md``; ``--only NAME ...`` prints the scores of some variants and writes nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.initialisation.data import FILES, Data, read
from benchmarks.initialisation.page import RESULTS, cell, render
from benchmarks.initialisation.scores import score
from benchmarks.initialisation.variants import VARIANTS, embed
from benchmarks.shared.command_line import make_parser
from benchmarks.shared.pages import save
from benchmarks.shared.results import command, environment, write


def measure(variant: str, data: dict[str, Data]) -> list[dict[str, Any]]:
    """Scores of a variant on each data set, and their means over data sets."""
    scores = {name: score(one, embed(one, VARIANTS[variant])) for name, one in data.items()}
    keys = ("knn", "nmi", "ari")
    scores["mean"] = {k: float(np.mean([s[k] for s in scores.values()])) for k in keys}
    return [{"variant": variant, "data": name, "scores": s} for name, s in scores.items()]


def main() -> None:
    """Parse the command line, score the variants, write the page."""
    parser = make_parser(__package__, __doc__)
    parser.add_argument("--only", nargs="+", choices=VARIANTS, help="variants to print")
    chosen = parser.parse_args().only
    data = {name: read(name) for name in FILES}
    rows: list[dict[str, Any]] = []
    for variant in chosen or VARIANTS:
        rows += measure(variant, data)
        cells = [cell(row) for row in rows if row["variant"] == variant]
        print(" | ".join([VARIANTS[variant].title, *cells]), flush=True)
    if not chosen:
        write(RESULTS, command("initialisation"), {**environment(1), "rows": rows})
        save(render())


if __name__ == "__main__":
    main()
