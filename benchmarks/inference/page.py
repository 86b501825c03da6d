"""Table of ``inference.md``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.shared.data import DATASETS
from benchmarks.shared.pages import fill, markdown
from benchmarks.shared.results import rows

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results"
HEAD = [
    "data",
    "held-out cells",
    "nats per cell",
    "excess over Adam: mean, worst",
    "excess over all components: mean, worst",
    "time in training epochs, cpu (wall)",
    "cells per second, cpu (wall)",
    "closest to own representation: trained, converged",
]


def render() -> dict[Path, str]:
    """Text of the page."""
    found = [row for name in DATASETS for row in rows(RESULTS / f"{name}.json")]
    page = FOLDER / "inference.md"
    machines = "\n".join(f"- {r['machine']}; load {r['load']:g}: {r['data']}" for r in found)
    pairs = [row for name in DATASETS for row in rows(RESULTS / f"optimisers_{name}.json")]
    tables = {"inference": table(found), "machines": machines, "optimisers": optimisers(pairs)}
    return {page: fill(page, tables)}


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown table with a line per data set."""
    lines = [HEAD]
    for r in rows:
        adam, starts, own = (
            r[key] for key in ("excess_over_adam", "excess_over_all_components", "closest_to_own")
        )
        cpu, low, high = r["epochs_cpu"]
        lines.append(
            [
                r["data"],
                f"{r['cells']:,}",
                f"{r['loss']:.1f}",
                f"{adam['mean']:.3%}, {adam['worst']:.2%} ({r['adam_cells']} cells)",
                f"{starts['mean']:.3%}, {starts['worst']:.2%}",
                f"{cpu:.1f} ({low:.1f}-{high:.1f}; {r['epochs_wall'][0]:.1f})",
                f"{r['cells_per_second_cpu']:.0f} ({r['cells_per_second_wall']:.0f})",
                f"{own['trained']:.1%}, {own['converged']:.1%}",
            ]
        )
    return markdown(lines, n_left=len(HEAD))


def optimisers(rows: list[dict[str, Any]]) -> str:
    """Markdown table of the two ways of optimisation, with a line per data set."""
    lines = [
        [
            "data",
            "cells",
            "cells per second: BFGS, model",
            "ratio",
            "excess of the model over BFGS",
        ]
    ]
    for r in rows:
        speed, excess = r["cells_per_second_cpu"], r["excess_of_model"]
        low, high = min(r["ratios_cpu"]), max(r["ratios_cpu"])
        lines.append(
            [
                r["data"],
                f"{r['cells']:,}",
                f"{speed['bfgs']:.0f}, {speed['model']:.0f}",
                f"{low:.2f}-{high:.2f}",
                f"{excess['mean']:.3%}, {excess['worst']:.2%}",
            ]
        )
    return markdown(lines, n_left=1)
