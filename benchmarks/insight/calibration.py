"""Coverage of intervals of expression and of the posterior of representations."""

from __future__ import annotations

import mudata as md
import numpy as np
import torch

from benchmarks.insight.task import QUIET_CPU, Figures, Task
from multiDGD import MultiDGD
from multiDGD.datasets import simulate_multiome

N_HELD_OUT = 500
#: Arguments of the simulation for each part.
SIMULATIONS: dict[str, dict] = {
    "1,000 cells": {"n_cells": 1000},
    "4,000 cells": {"n_cells": 4000},
    "shallow": {"n_cells": 1000, "rna_library_size": 300.0, "atac_library_size": 300.0},
    "wide": {"n_cells": 1000, "n_genes": 1500, "n_peaks": 3000},
}


class _NoVariance:
    """Posterior of an output layer without uncertainty."""

    def variance(self, hidden_nh: torch.Tensor, share_nf: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(share_nf)


def calibration(part: str, seed: int) -> dict[str, Figures]:
    """Coverage of the true shares of held-out cells."""
    settings = dict(SIMULATIONS[part])
    n = settings.pop("n_cells")
    whole = simulate_multiome(n + N_HELD_OUT, true_means=True, seed=seed, **settings)
    train, new = whole[:n].copy(), whole[n:].copy()
    MultiDGD.setup_mudata(train, batch_key="batch")
    model = MultiDGD(train)
    model.train(**QUIET_CPU)
    lines = {m: _coverage(model, new, m) for m in new.mod}
    only_rna = md.MuData({"rna": new["rna"].copy()})
    only_rna.obs = new.obs.copy()
    lines["atac from RNA alone"] = _coverage(model, only_rna, "atac", new)
    lines["training cells, rna"] = _coverage(model, train, "rna")
    lines["representation"] = _representation_coverage(model, new)
    return lines


def _coverage(
    model: MultiDGD, cells: md.MuData, modality: str, simulated: md.MuData | None = None
) -> Figures:
    """Coverage and width of intervals; ``simulated`` has the true means (default: ``cells``)."""
    mean = (simulated or cells)[modality].layers["true_mean"]
    truth = mean / mean.sum(1, keepdims=True)

    def ends(level: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
        return model.get_expression_interval(
            cells, modality=modality, level=level, return_numpy=True
        )

    def is_covered(found: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        return (found[0] < truth) & (truth < found[1])

    found = {
        f"coverage_{100 * p:.0f}": float(is_covered(ends(p)).mean()) for p in (0.5, 0.9, 0.99)
    }
    lower, upper = ends()
    inside = is_covered((lower, upper))
    quarters = np.array_split(np.argsort(truth.mean(0)), 4)
    found["coverage_90_rare"] = float(inside[:, quarters[0]].mean())
    found["coverage_90_abundant"] = float(inside[:, quarters[3]].mean())
    found["width"] = float(np.median(upper / lower))
    layer = model._output_posterior
    model._output_posterior = lambda modality: _NoVariance()
    found["coverage_90_without_decoder"] = float(is_covered(ends()).mean())
    model._output_posterior = layer
    return found


def _representation_coverage(model: MultiDGD, new: md.MuData) -> Figures:
    """Coverage of each dimension of z; the truth is inferred from 100 times the expected counts."""
    deep, thinned = new.copy(), new.copy()
    rng = np.random.default_rng(0)
    for part in deep.mod.values():
        part.X = np.round(100 * part.layers["true_mean"]).astype(np.float32)
    for part in thinned.mod.values():
        part.X = part.X.copy()
        part.X.data = rng.binomial(part.X.data.astype(int), 0.1).astype(np.float32)
    truth = model.get_latent_representation(deep)
    mean, variance = model.get_latent_representation(new, return_dist=True)
    _, variance_thinned = model.get_latent_representation(thinned, return_dist=True)
    z = np.abs(truth - mean) / np.sqrt(variance)
    levels = {50: 0.674, 90: 1.645, 99: 2.576}
    return {
        **{f"coverage_{level}": float((z < q).mean()) for level, q in levels.items()},
        "wider_thinned": float((variance_thinned.sum(1) > variance.sum(1)).mean()),
    }


TASK = Task(
    calibration,
    tuple(SIMULATIONS),
    {
        "coverage_50": "50 %",
        "coverage_90": "90 %",
        "coverage_99": "99 %",
        "coverage_90_rare": "90 %, rare",
        "coverage_90_abundant": "90 %, abundant",
        "coverage_90_without_decoder": "90 %, without decoder",
        "width": "width",
        "wider_thinned": "wider if thinned",
    },
)
