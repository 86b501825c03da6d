"""All tasks of the insight benchmark, by name."""

from __future__ import annotations

from benchmarks.insight import (
    calibration,
    components,
    differential,
    draws,
    generation,
    labels,
    likelihoods,
    links,
    perturbation,
)
from benchmarks.insight.task import Task

TASKS: dict[str, Task] = {
    "calibration": calibration.TASK,
    "labels": labels.TASK,
    "components": components.TASK,
    "differential": differential.TASK,
    "replicates": differential.REPLICATES,
    "draws": draws.TASK,
    "generation": generation.TASK,
    "likelihoods": likelihoods.TASK,
    "links": links.TASK,
    "regulators": perturbation.REGULATORS,
    "donors": perturbation.DONORS,
}
