"""Calibration of label probabilities."""

from __future__ import annotations

import math
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch
from mudata import MuData

from benchmarks.insight.task import QUIET_CPU, Figures, Task
from benchmarks.shared.data import BATCH_KEY, LABEL_KEY, Dataset, load
from benchmarks.shared.package_internals import calibrate, fit_calibration, label_prediction
from multiDGD import MultiDGD

N_FOLDS = 4
N_DRAWS = 200
#: Degrees of freedom of the density of types, as alternatives to the default.
DEGREES_OF_FREEDOM = (math.inf, 32.0, 8.0, 4.0)


def labels(part: str, seed: int) -> dict[str, Figures]:
    """Scores of the labels of all cells, from 4-fold cross-validation."""
    data = load(part)
    cells = np.random.default_rng(seed).permutation(np.flatnonzero(data.known))
    predictions: dict[str, list[torch.Tensor]] = {}
    for held_out in np.array_split(cells, N_FOLDS):
        train, new = data.subset(np.setdiff1d(cells, held_out)), data.subset(np.sort(held_out))
        for line, found in _predictions(train, new).items():
            predictions.setdefault(line, []).append(found)
    return {line: _scores(torch.cat(parts)) for line, parts in predictions.items()}


def _predictions(train: Dataset, new: Dataset) -> dict[str, torch.Tensor]:
    """Predictions for held-out cells whose labels occur in the training cells, by line."""
    if train.n_batches > 1:
        MultiDGD.setup_mudata(train.data, labels_key=LABEL_KEY, batch_key=BATCH_KEY)
    else:
        MultiDGD.setup_mudata(train.data, labels_key=LABEL_KEY)
    model = MultiDGD(train.data)
    model.train(**QUIET_CPU)
    names = pd.Index(model.summary.labels)
    query = new.data[np.isin(new.labels, names)].copy()
    codes = torch.from_numpy(names.get_indexer(query.obs[LABEL_KEY].astype(str)))

    manager = model._manager_of(query)
    at, w = model._representation(manager, None, None)
    with torch.no_grad():
        at_map = model.module.mixture.class_log_prob(w[:, : model.module.n_latent])
    learned = model._learned
    integrated = model._label_log_prob(manager, at, w, learned.labels.correlation)
    share = model._label_log_share(w, learned.cell_subset)
    best = calibrate(integrated, share, *fit_calibration(integrated, share, codes))
    found = {
        "MAP estimate": at_map,
        "integrated": integrated,
        "integrated, calibrated (predict)": _predicted(model, query),
        "integrated, best calibration": best,
    }
    model._update_learned(cell_subset=None, labels=model._learn_labels(None))
    found["predict, without neighbours"] = _predicted(model, query)
    for df in DEGREES_OF_FREEDOM:
        with patch.object(label_prediction, "_DF", df):
            model._update_learned(labels=model._learn_labels(None))
            found[f"without neighbours, df {df:g}"] = _predicted(model, query)
    return {line: _confidence(log_prob, codes) for line, log_prob in found.items()}


def _predicted(model: MultiDGD, query: MuData) -> torch.Tensor:
    return torch.from_numpy(np.log(model.predict(query, soft=True).to_numpy() + 1e-30))


def _confidence(log_prob: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    """Confidence, correctness and log probability of the true label, shape ``(n_cells, 3)``."""
    confidence, predicted = log_prob.double().exp().max(1)
    true = log_prob[torch.arange(len(codes)), codes]
    return torch.stack([confidence, (predicted == codes).double(), true.double()], dim=1)


def _scores(predictions: torch.Tensor) -> Figures:
    confidence, correct, true = predictions.T
    generator = torch.Generator().manual_seed(0)
    by_chance = [
        _ece(confidence, torch.bernoulli(confidence.clamp(max=1), generator=generator))
        for _ in range(N_DRAWS)
    ]
    return {
        "accuracy": float(correct.mean()),
        "confidence": float(confidence.mean()),
        "ece": _ece(confidence, correct),
        "ece_floor": float(np.mean(by_chance)),
        "log_prob": float(true.mean()),
    }


def _ece(confidence: torch.Tensor, correct: torch.Tensor, n_bins: int = 10) -> float:
    """Expected calibration error."""
    bins = (confidence * n_bins).long().clamp(max=n_bins - 1)
    gap = torch.zeros(n_bins).double().index_add(0, bins, confidence - correct)
    return float(gap.abs().sum() / len(confidence))


TASK = Task(
    labels,
    ("bmmc_cite", "bmmc_multiome", "pbmc10k_cite"),
    {
        "accuracy": "accuracy",
        "confidence": "mean probability",
        "ece": "ECE",
        "ece_floor": "ECE by chance",
        "log_prob": "log probability",
    },
)
