"""Are intervals and probabilities right as often as they say?"""

from __future__ import annotations

import math

import mudata as md
import numpy as np
import pandas as pd
import torch
from _data import BATCH_KEY, LABEL_KEY, Dataset, load
from _insight import QUIET, Figures, Task
from mudata import MuData

from multiDGD import MultiDGD
from multiDGD.datasets import simulate_multiome
from multiDGD.model._calibration import calibrated, fit_calibration

N_NEW = 500
N_FOLDS = 4
N_DRAWS = 200
#: Degrees of freedom of the tails of types beside the model's own.
TAILS = (math.inf, 32.0, 8.0, 4.0)
SIMULATIONS: dict[str, dict] = {
    "1,000 cells": {"n_cells": 1000},
    "4,000 cells": {"n_cells": 4000},
    "shallow": {"n_cells": 1000, "rna_library_size": 300.0, "atac_library_size": 300.0},
    "wide": {"n_cells": 1000, "n_genes": 1500, "n_peaks": 3000},
}


class _Perfect:
    """An output layer without error."""

    def variance(self, hidden_nh: torch.Tensor, share_nf: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(share_nf)


def calibration(part: str, seed: int) -> dict[str, Figures]:
    """Coverage of the true shares of cells that were not trained on."""
    settings = dict(SIMULATIONS[part])
    n = settings.pop("n_cells")
    whole = simulate_multiome(n + N_NEW, true_means=True, seed=seed, **settings)
    train, new = whole[:n].copy(), whole[n:].copy()
    MultiDGD.setup_mudata(train, batch_key="batch")
    model = MultiDGD(train)
    model.train(**QUIET)
    lines = {m: _coverage(model, new, m) for m in new.mod}
    only_rna = md.MuData({"rna": new["rna"].copy()})
    only_rna.obs = new.obs.copy()
    lines["atac of RNA alone"] = _coverage(model, only_rna, "atac", new)
    lines["training cells, rna"] = _coverage(model, train, "rna")
    lines["places"] = _places(model, new)
    return lines


def _coverage(
    model: MultiDGD, cells: md.MuData, modality: str, known: md.MuData | None = None
) -> Figures:
    mean = (known or cells)[modality].layers["true_mean"]
    truth = mean / mean.sum(1, keepdims=True)

    def ends(level: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
        return model.get_expression_interval(
            cells, modality=modality, level=level, return_numpy=True
        )

    def held(found: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        return (found[0] < truth) & (truth < found[1])

    found = {f"held_{100 * p:.0f}": float(held(ends(p)).mean()) for p in (0.5, 0.9, 0.99)}
    lower, upper = ends()
    inside = held((lower, upper))
    quarters = np.array_split(np.argsort(truth.mean(0)), 4)
    found["held_90_rare"] = float(inside[:, quarters[0]].mean())
    found["held_90_abundant"] = float(inside[:, quarters[3]].mean())
    found["width"] = float(np.median(upper / lower))
    layer = model._output_posterior
    model._output_posterior = lambda modality: _Perfect()
    found["held_90_without_decoder"] = float(held(ends()).mean())
    model._output_posterior = layer
    return found


def _places(model: MultiDGD, new: md.MuData) -> Figures:
    """Whether a cell lies where a hundred times its expected counts would put it."""
    deep, few = new.copy(), new.copy()
    rng = np.random.default_rng(0)
    for part in deep.mod.values():
        part.X = np.round(100 * part.layers["true_mean"]).astype(np.float32)
    for part in few.mod.values():
        part.X = part.X.copy()
        part.X.data = rng.binomial(part.X.data.astype(int), 0.1).astype(np.float32)
    place = model.get_latent_representation(deep)
    mean, variance = model.get_latent_representation(new, return_dist=True)
    _, more = model.get_latent_representation(few, return_dist=True)
    z = np.abs(place - mean) / np.sqrt(variance)
    levels = {50: 0.674, 90: 1.645, 99: 2.576}
    return {
        **{f"held_{level}": float((z < q).mean()) for level, q in levels.items()},
        "wider_thinned": float((more.sum(1) > variance.sum(1)).mean()),
    }


def labels(part: str, seed: int) -> dict[str, Figures]:
    """Labels of all cells, each by a model of the three quarters of the cells without it."""
    data = load(part)
    cells = np.random.default_rng(seed).permutation(np.flatnonzero(data.known))
    guesses: dict[str, list[torch.Tensor]] = {}
    for held_out in np.array_split(cells, N_FOLDS):
        train, new = data.subset(np.setdiff1d(cells, held_out)), data.subset(np.sort(held_out))
        for line, guess in _guesses(train, new).items():
            guesses.setdefault(line, []).append(guess)
    return {line: _scores(torch.cat(parts)) for line, parts in guesses.items()}


def _guesses(train: Dataset, new: Dataset) -> dict[str, torch.Tensor]:
    """What a model of some cells says of the labels of others that it can know, by line."""
    if train.n_batches > 1:
        MultiDGD.setup_mudata(train.data, labels_key=LABEL_KEY, batch_key=BATCH_KEY)
    else:
        MultiDGD.setup_mudata(train.data, labels_key=LABEL_KEY)
    model = MultiDGD(train.data)
    model.train(**QUIET)
    names = pd.Index(model.summary.labels)
    query = new.data[np.isin(new.labels, names)].copy()
    codes = torch.from_numpy(names.get_indexer(query.obs[LABEL_KEY].astype(str)))

    manager = model._manager_of(query)
    at, w = model._representation(manager, None, None)
    with torch.no_grad():
        at_place = model.module.mixture.class_log_prob(w[:, : model.module.n_latent])
    integrated = model._label_log_prob(manager, at, w)
    share = model._label_log_share(w)
    best = calibrated(integrated, share, *fit_calibration(integrated, share, codes))
    found = {
        "most probable place": at_place,
        "all places": integrated,
        "all places, calibrated (predict)": _predicted(model, query),
        "all places, best calibration": best,
    }
    model.known_cells_ = None
    model._learn_labels(model.module.mixture)
    found["predict, without neighbours"] = _predicted(model, query)
    for df in TAILS:
        model._label_df = df
        model._learn_labels(model.module.mixture)
        found[f"the same, df {df:g}"] = _predicted(model, query)
    return {line: _guess(log_prob, codes) for line, log_prob in found.items()}


def _predicted(model: MultiDGD, query: MuData) -> torch.Tensor:
    return torch.from_numpy(np.log(model.predict(query, soft=True).to_numpy() + 1e-30))


def _guess(log_prob: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    """Of each cell: how sure, whether right, and the log probability of its label."""
    sure, guess = log_prob.double().exp().max(1)
    true = log_prob[torch.arange(len(codes)), codes]
    return torch.stack([sure, (guess == codes).double(), true.double()], dim=1)


def _scores(guesses: torch.Tensor) -> Figures:
    sure, right, true = guesses.T
    generator = torch.Generator().manual_seed(0)
    luck = [
        _ece(sure, torch.bernoulli(sure.clamp(max=1), generator=generator)) for _ in range(N_DRAWS)
    ]
    return {
        "accuracy": float(right.mean()),
        "sure": float(sure.mean()),
        "ece": _ece(sure, right),
        "ece_floor": float(np.mean(luck)),
        "log_prob": float(true.mean()),
    }


def _ece(sure: torch.Tensor, right: torch.Tensor, n_bins: int = 10) -> float:
    bins = (sure * n_bins).long().clamp(max=n_bins - 1)
    gap = torch.zeros(n_bins).double().index_add(0, bins, sure - right)
    return float(gap.abs().sum() / len(sure))


TASKS = {
    "calibration": Task(
        calibration,
        tuple(SIMULATIONS),
        {
            "held_50": "50 %",
            "held_90": "90 %",
            "held_99": "99 %",
            "held_90_rare": "90 %, rare",
            "held_90_abundant": "90 %, abundant",
            "held_90_without_decoder": "90 %, cell only",
            "width": "width",
            "wider_thinned": "wider thinned",
        },
        "Simulated multiomes with known means. Share of the true shares of features, over "
        f"{N_NEW} cells that were not trained on and all features, that "
        "`get_expression_interval` holds at three levels; at 90 % also for the quarters of the "
        "features that are counted least and most, and without the decoder's part. *Width*: "
        "median ratio of the ends at 90 %. *Places*: the same for each dimension of z, where the "
        "truth is the place that 100 times a cell's expected counts have in the same model (so "
        "rotations do not matter); *wider thinned*: share of the cells with a larger variance "
        "after thinning to 10 % of the counts.",
    ),
    "labels": Task(
        labels,
        ("bmmc_cite", "bmmc_multiome", "pbmc10k_cite"),
        {
            "accuracy": "accuracy",
            "sure": "mean probability",
            "ece": "ECE",
            "ece_floor": "ECE by chance",
            "log_prob": "log probability",
        },
        f"Types of all cells, each by a model of the other {N_FOLDS - 1} of {N_FOLDS} parts of the "
        "cells by seed, which has not seen it: by the mixture's posterior at its most probable "
        "place, and with its places integrated out. ECE in 10 bins over all cells; *by chance* is "
        f"what the same probabilities would show on average ({N_DRAWS} draws) if they were exactly "
        "right; log probability of the true type (nats). *Best calibration* is fitted, in each "
        "part, to the very labels that are asked about, as a bound. *Without neighbours*: by the "
        "density of the types alone; *df*: by other degrees of freedom of its tails than 16, infinite "
        "for normal ones.",
    ),
}
