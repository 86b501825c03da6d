"""Comparison of the defaults of training with alternatives.

``python -m benchmarks.defaults --out benchmarks/defaults/results/defaults.json``

Each variant changes one argument. Models are trained on all cells of a data set, split by seed into
training (90 %) and validation cells. Labels are not used. The scores of the training cells are those of the
page `quality`: kNN accuracy of the types, Leiden NMI and iLISI. The lowest validation loss (nats
per cell) follows. All are means over seeds. ``defaults.md`` shows the results files in
``benchmarks/defaults/results``.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import scvi
import torch
from mudata import MuData

from benchmarks.defaults.page import SCORES, cell, render
from benchmarks.quality.scores import embedding_scores
from benchmarks.quality.task import Fit
from benchmarks.shared.command_line import make_parser
from benchmarks.shared.data import BATCH_KEY, DATASETS, load
from benchmarks.shared.package_internals import default_max_epochs
from benchmarks.shared.pages import save
from benchmarks.shared.quiet import hide_messages
from benchmarks.shared.results import command, environment, write
from multiDGD import MultiDGD

DATA = ["bmmc_multiome", "bmmc_cite"]
SEEDS = [0, 1, 2]
NO_LEARNING = dict.fromkeys(
    ("lr", "lr_representation", "lr_mixture", "lr_covariate_mixture", "lr_likelihood"), 0.0
)
PUBLISHED = {"n_hidden": 2, "n_hidden_modality": 3}


def scaled_rates(factor: float) -> dict[str, float]:
    """Learning rates of everything but the representations, which have one step in each epoch."""
    rates = {"lr": 1e-2, "lr_mixture": 1e-3, "lr_covariate_mixture": 1e-3, "lr_likelihood": 1e-1}
    return {name: factor * rate for name, rate in rates.items()}


# name: (arguments of the model, arguments of `train`, `plan_kwargs` of `train`)
VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "initialisation only": ({}, {"max_epochs": 1}, NO_LEARNING),
    "default": ({}, {}, {}),
    "decoder as published (2 + 3 layers)": ({"decoder_kwargs": PUBLISHED}, {}, {}),
    "decoder as published, lr 1e-3": ({"decoder_kwargs": PUBLISHED}, {}, {"lr": 1e-3}),
    "lr 3e-3": ({}, {}, {"lr": 3e-3}),
    "mixture_weight 1": ({"mixture_weight": 1.0}, {}, {}),
    "mixture_weight 0.5": ({"mixture_weight": 0.5}, {}, {}),
    "mixture_weight 0.1": ({"mixture_weight": 0.1}, {}, {}),
    "n_components 30": ({"n_components": 30}, {}, {}),
    "n_latent 30": ({"n_latent": 30}, {}, {}),
    "remove_covariates_at None": ({}, {}, {"remove_covariates_at": None}),
    "remove_covariates_at 0.75": ({}, {}, {"remove_covariates_at": 0.75}),
    "lr_representation 3e-2": ({}, {}, {"lr_representation": 3e-2}),
    "lr_representation 3e-3": ({}, {}, {"lr_representation": 3e-3}),
    "lr_mixture 1e-2": ({}, {}, {"lr_mixture": 1e-2}),
    "lr_likelihood 1e-2": ({}, {}, {"lr_likelihood": 1e-2}),
    "weight_precision 0": ({}, {}, {"weight_precision": 0.0}),
    "weight_precision 10": ({}, {}, {"weight_precision": 10.0}),
    "weight_precision 100": ({}, {}, {"weight_precision": 100.0}),
    "constant learning rates": ({}, {}, {"schedule": "constant"}),
    "hold 0": ({}, {}, {"hold": 0.0}),
    "batch_size 64": ({}, {"batch_size": 64}, {}),
    "batch_size 512": ({}, {"batch_size": 512}, {}),
    "batch_size 512, rates x 2": ({}, {"batch_size": 512}, scaled_rates(2.0)),
    "batch_size 1024, rates x 2.8": ({}, {"batch_size": 1024}, scaled_rates(8**0.5)),
    "softball radius 6": ({"softball": (6.0, 5.0)}, {}, {}),
    "half the number of epochs": ({}, {"max_epochs": 0.5}, {}),
    "twice the number of epochs": ({}, {"max_epochs": 2.0}, {}),
}


def run(name: str, variant: str, seed: int) -> dict[str, float]:
    """Train once and return the scores."""
    data = load(name)
    model_kwargs, train_kwargs, plan_kwargs = VARIANTS[variant]
    train_kwargs = dict(train_kwargs)
    scvi.settings.seed = seed
    setup = MultiDGD.setup_mudata if isinstance(data.data, MuData) else MultiDGD.setup_anndata
    setup(data.data, batch_key=BATCH_KEY if data.n_batches > 1 else None)
    model = MultiDGD(data.data, **model_kwargs)
    if isinstance(train_kwargs.get("max_epochs"), float):
        epochs = default_max_epochs(int(0.9 * data.data.n_obs))
        train_kwargs["max_epochs"] = round(train_kwargs["max_epochs"] * epochs)
    model.train(enable_progress_bar=False, plan_kwargs=plan_kwargs, **train_kwargs)
    fit = Fit(embedding=model.get_latent_representation())
    # Representations of validation cells depend on the decoder, untrained in one variant.
    scored = data.known & np.isin(np.arange(data.data.n_obs), model.train_indices)
    scores = embedding_scores(fit, scored, data.labels[scored], data.batch[scored])
    scores["loss"] = float(model.history["validation_loss"].iloc[:, 0].astype(float).min())
    return {name: scores[name] for name in SCORES if name in scores}


def command_of(args: argparse.Namespace) -> str:
    """Command that repeats the run."""
    return command(
        "defaults",
        data=args.data if args.data != DATA else None,
        variants=args.variants if args.variants != list(VARIANTS) else None,
        seeds=args.seeds if args.seeds != SEEDS else None,
        threads=args.threads if args.threads != 1 else None,
        out=args.out,
    )


def main() -> None:
    """Parse the command line, train the variants, write the page."""
    parser = make_parser(__package__, __doc__)
    parser.add_argument("--data", nargs="+", choices=DATASETS, default=DATA)
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="results file, written after every variant")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    hide_messages()
    rows: list[dict[str, Any]] = []
    for variant in args.variants:
        for name in args.data:
            found = [run(name, variant, seed) for seed in args.seeds]
            means = {score: float(np.mean([f[score] for f in found])) for score in found[0]}
            row = {"variant": variant, "data": name, **means}
            rows.append(row)
            print(f"{variant}, {name}: {cell(row)}", flush=True)
        if args.out is not None:
            content = {"seeds": args.seeds, **environment(args.threads), "rows": rows}
            write(args.out, command_of(args), content)
    if args.out is not None:
        save(render())


if __name__ == "__main__":
    main()
