"""Calibration and power of differential abundance in pseudo-samples of real cells."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scvi
import torch
from scipy.special import digamma, logit, polygamma
from scipy.stats import false_discovery_control
from scipy.stats import t as student_t

from benchmarks.insight.task import QUIET_CPU, Figures, Task
from benchmarks.shared.data import BATCH_KEY, Dataset, load
from multiDGD import MultiDGD
from multiDGD.stats import SampleDensities, compare_proportions, moderated_difference

#: Variable with the interpreter of an environment with pertpy and pydeseq2.
PYTHON_OTHER = "MULTIDGD_BENCHMARKS_PYTHON_OTHER"
#: Samples, the first half of them in the first group.
N_SAMPLES = 6
IS_FIRST = np.arange(N_SAMPLES) < N_SAMPLES // 2
#: Increase of the odds of one type in the first group, and standard deviation between samples.
SETTINGS = {
    "null, random": (0.0, 0.0),
    "null": (0.0, 0.2),
    "10 %": (0.1, 0.2),
    "30 %": (0.3, 0.2),
    "100 %": (1.0, 0.2),
}
#: Runs of each setting, and those of them for methods without labels.
N_RUNS, N_FEW_RUNS = 60, 6
N_TYPES, MAX_CELLS, MAX_GENES = 6, 1200, 2000
ALPHA, FDR = 0.05, 0.1
N_NEIGHBORS = 20 * N_SAMPLES
NEIGHBORS = {
    "by cell": N_NEIGHBORS,
    "by cell, 60 neighbours": 60,
    "by cell, posteriors alone": 1,
}

Test = tuple[np.ndarray, np.ndarray, np.ndarray]


def abundance(part: str, seed: int) -> dict[str, Figures]:
    """Calls of each method in pseudo-samples with and without an increase of one type."""
    data, model = _trained(part, seed)
    names, codes = np.unique(data.labels, return_inverse=True)
    codes = np.where(data.known, codes, -1)
    frequent = np.argsort(-np.bincount(codes[codes >= 0], minlength=len(names)))[:N_TYPES]
    rng = np.random.default_rng([seed, 1])
    runs = [
        (setting, int(frequent[run % N_TYPES]), *SETTINGS[setting])
        for run in range(N_RUNS)
        for setting in SETTINGS
    ]
    samples = np.stack([_pseudo_samples(codes, t, *shift, rng) for _, t, *shift in runs])
    mean_nl, variance_nl = model.get_latent_representation(return_dist=True)
    lines: dict[str, tuple[np.ndarray, list[Test]]] = {}
    of_type = np.arange(len(names))[:, None] == np.arange(len(names))
    for name, test in _BY_LABEL.items():
        found = []
        for sample_n in samples:
            counts = np.zeros((N_SAMPLES, len(names)))
            np.add.at(counts, (sample_n[codes >= 0], codes[codes >= 0]), 1)
            found.append(test(counts))
        lines[name] = of_type, found
    of_type = codes[:, None] == np.arange(len(names))
    samples = samples[: N_FEW_RUNS * len(SETTINGS)]
    for name, n_neighbors in NEIGHBORS.items():
        n_neighbors = min(n_neighbors, len(codes) // 5)
        lines[name] = (
            of_type,
            [_by_cell(mean_nl, variance_nl, s, n_neighbors) for s in samples],
        )
    if PYTHON_OTHER in os.environ:
        members, found = _milo(mean_nl, samples)
        shares = members.T.astype(float) @ of_type / members.sum(0)[:, None]
        lines["Milo (pertpy, pydeseq2)"] = shares > 0.5, found
    return {name: _scores(runs, *line) for name, line in lines.items()}


def _trained(part: str, seed: int) -> tuple[Dataset, MultiDGD]:
    """Model of at most 1,200 cells, without labels."""
    data = load(part).most_detected_genes(MAX_GENES)
    cells = np.random.default_rng(seed).permutation(data.data.n_obs)[:MAX_CELLS]
    data = data.subset(np.sort(cells))
    setup = MultiDGD.setup_mudata if len(data.modalities) > 1 else MultiDGD.setup_anndata
    setup(data.data, batch_key=BATCH_KEY if data.n_batches > 1 else None)
    scvi.settings.seed = seed
    model = MultiDGD(data.data)
    model.train(**QUIET_CPU)
    return data, model


def _pseudo_samples(
    codes: np.ndarray, changed: int, increase: float, deviation: float, rng: np.random.Generator
) -> np.ndarray:
    """Assign each cell to a sample at random, with weights that depend on its type."""
    weights = rng.lognormal(0, deviation, (codes.max() + 2, N_SAMPLES))
    weights[changed, IS_FIRST] *= 1 + increase
    limits = (weights / weights.sum(1, keepdims=True)).cumsum(1)[codes]
    return (rng.random(len(codes))[:, None] > limits[:, :-1]).sum(1)


def _beta_binomial(counts_sj: np.ndarray) -> Test:
    found = compare_proportions(counts_sj, IS_FIRST)
    return found.log_odds_ratio, found.p_value, false_discovery_control(found.p_value)


def _propeller(transform: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], Test]:
    """Moderated t-test of transformed proportions, as in propeller (Phipson et al., 2022)."""

    def test(counts_sj: np.ndarray) -> Test:
        values = transform(counts_sj)
        groups = values[IS_FIRST], values[~IS_FIRST]
        df = N_SAMPLES - 2
        variance = sum(((x - x.mean(0)) ** 2).sum(0) for x in groups) / df
        logs = np.log(np.maximum(variance, 1e-12)) - digamma(df / 2) + np.log(df / 2)
        excess = logs.var(ddof=1) - polygamma(1, df / 2)
        grid = np.geomspace(0.1, 1e6, 10_000)
        half = grid[np.argmin(np.abs(polygamma(1, grid) - excess))]
        prior = np.exp(logs.mean() + digamma(half) - np.log(half))
        moderated = (2 * half * prior + df * variance) / (2 * half + df)
        difference = groups[0].mean(0) - groups[1].mean(0)
        t = difference / np.sqrt(moderated * 4 / N_SAMPLES)
        p_value = 2 * student_t.sf(np.abs(t), min(2 * half + df, df * len(variance)))
        return difference, p_value, false_discovery_control(p_value)

    return test


def _log_odds(counts_sj: np.ndarray) -> np.ndarray:
    return logit((counts_sj + 0.5) / (counts_sj + 0.5).sum(1, keepdims=True))


def _arcsine(counts_sj: np.ndarray) -> np.ndarray:
    return np.arcsin(np.sqrt(counts_sj / counts_sj.sum(1, keepdims=True)))


_BY_LABEL: dict[str, Callable[[np.ndarray], Test]] = {
    "by label": _beta_binomial,
    "propeller-like, log odds": _propeller(_log_odds),
    "propeller-like, arcsine": _propeller(_arcsine),
}


def _by_cell(
    mean_nl: np.ndarray, variance_nl: np.ndarray, sample_n: np.ndarray, n_neighbors: int
) -> Test:
    mean, variance = (torch.from_numpy(x).double() for x in (mean_nl, variance_nl))
    densities = SampleDensities(mean, variance, torch.from_numpy(sample_n), N_SAMPLES)
    log_ns = densities.smoothed(mean, torch.arange(len(mean)), n_neighbors).numpy()
    found = moderated_difference(log_ns, IS_FIRST)
    return found.difference, found.p_value, false_discovery_control(found.p_value)


def _milo(representation: np.ndarray, samples: np.ndarray) -> tuple[np.ndarray, list[Test]]:
    """Members of the neighbourhoods, and their tests in each run."""
    script = Path(__file__).with_name("milo.py")
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "input.npz", representation=representation, samples=samples)
        # The packages of this environment would hide those of the other one.
        env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        subprocess.run([os.environ[PYTHON_OTHER], script, folder], check=True, env=env)
        with np.load(Path(folder) / "output.npz") as found:
            arrays = {key: found[key] for key in ("log_ratio", "p_value", "fdr")}
            run, members = found["run"], found["members"]
    return members, [
        (arrays["log_ratio"][at], arrays["p_value"][at], arrays["fdr"][at])
        for at in (run == i for i in range(len(samples)))
    ]


def _scores(
    runs: list[tuple[str, int, float, float]], of_type: np.ndarray, found: list[Test]
) -> Figures:
    """Shares of units that are called, over the first runs of each setting."""
    shares: dict[str, list[float]] = {}
    for (setting, changed, increase, _), (effect, p_value, fdr) in zip(runs, found, strict=False):
        if increase == 0:
            shares.setdefault(setting, []).append(float((p_value < ALPHA).mean()))
            shares.setdefault(f"{setting}, any", []).append(float((fdr < FDR).any()))
            continue
        units = of_type[:, changed]
        if not units.any():
            continue
        up = (p_value < ALPHA) & (effect > 0)
        shares.setdefault(setting, []).append(float(up[units].mean()))
        if setting == "100 %":
            up = (fdr < FDR) & (effect > 0)
            shares.setdefault("100 %, FDR", []).append(float(up[units].mean()))
            shares.setdefault("false", []).append(float((up & ~units).sum() / max(up.sum(), 1)))
    return {key: float(np.mean(values)) for key, values in shares.items()}


TASK = Task(
    abundance,
    ("bmmc_cite", "bmmc_multiome", "pbmc_facs_rna"),
    {
        "null, random": "null, samples alike",
        "null": "null, samples differ",
        "null, any": "null, any call at FDR 10 %",
        "10 %": "10 % more",
        "30 %": "30 % more",
        "100 %": "100 % more",
        "100 %, FDR": "100 % more, FDR 10 %",
        "false": "false discoveries",
    },
)
