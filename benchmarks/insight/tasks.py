"""All tasks of the insight benchmark, by name."""

from __future__ import annotations

from benchmarks.insight import (
    abundance,
    calibration,
    components,
    differential,
    draws,
    generation,
    labels,
    likelihoods,
    links,
    links_conditional,
    perturbation,
    real_differences,
)
from benchmarks.insight.task import Task

TASKS: dict[str, Task] = {
    "calibration": calibration.TASK,
    "labels": labels.TASK,
    "components": components.TASK,
    "differential": differential.TASK,
    "replicates": differential.REPLICATES,
    "null": real_differences.NULL,
    "thinned": real_differences.TASK,
    "markers": real_differences.MARKER_RANKS,
    "halves": real_differences.HALVES,
    "draws": draws.TASK,
    "generation": generation.TASK,
    "likelihoods": likelihoods.TASK,
    "links": links.TASK,
    "abundance": abundance.TASK,
    "links_conditional": links_conditional.TASK,
    "regulators": perturbation.REGULATORS,
    "donors": perturbation.DONORS,
}
