"""Why the defaults of training are what they are.

``python benchmarks/defaults.py --out benchmarks/defaults.md``

Every row changes one thing of the chosen arguments. Models are trained on all cells of a data set
with their own split into training (90 %) and validation cells by seed, without labels except for
the number of components. Columns, for each data set: kNN accuracy of the types (15 neighbours, 5
folds), NMI of k-means at the true number of types, and the best loss of validation cells in nats
a cell. Means over seeds; the first row is the spectral start that training has to add to.
"""

from __future__ import annotations

import argparse
import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scvi
import torch
from _data import load
from mudata import MuData

from multiDGD import MultiDGD
from multiDGD._scores import kmeans_nmi_ari, knn_accuracy

STILL = dict.fromkeys(
    ("lr", "lr_representation", "lr_mixture", "lr_covariate_mixture", "lr_likelihood"), 0.0
)
DEEP = {"n_hidden": 2, "n_hidden_modality": 3}

# name: (arguments of the model, arguments of train, of which plan_kwargs)
VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "the start alone": ({}, {"max_epochs": 1}, STILL),
    "chosen": ({}, {}, {}),
    "decoder as published (2 + 3 layers)": ({"decoder_kwargs": DEEP}, {}, {}),
    "decoder as published, lr 1e-3": ({"decoder_kwargs": DEEP}, {}, {"lr": 1e-3}),
    "lr 3e-3": ({}, {}, {"lr": 3e-3}),
    "lr_representation 1e-2": ({}, {}, {"lr_representation": 1e-2}),
    "lr_representation 3e-3": ({}, {}, {"lr_representation": 3e-3}),
    "lr_representation 1e-3": ({}, {}, {"lr_representation": 1e-3}),
    "lr_mixture 1e-2": ({}, {}, {"lr_mixture": 1e-2}),
    "lr_likelihood 1e-2": ({}, {}, {"lr_likelihood": 1e-2}),
    "weight_precision 0": ({}, {}, {"weight_precision": 0.0}),
    "weight_precision 10": ({}, {}, {"weight_precision": 10.0}),
    "weight_precision 100": ({}, {}, {"weight_precision": 100.0}),
    "constant learning rates": ({}, {}, {"schedule": "constant"}),
    "representations not held": ({}, {}, {"hold": 0.0}),
    "batch_size 64": ({}, {"batch_size": 64}, {}),
    "softball radius 6": ({"softball": (6.0, 5.0)}, {}, {}),
    "half as many epochs": ({}, {"max_epochs": 0.5}, {}),
    "twice as many epochs": ({}, {"max_epochs": 2.0}, {}),
}


def run(name: str, variant: str, seed: int) -> tuple[float, float, float]:
    """Train once: kNN accuracy, NMI and the best validation loss."""
    data = load(name)
    model_kwargs, train, plan = VARIANTS[variant]
    train = dict(train)
    scvi.settings.seed = seed
    setup = MultiDGD.setup_mudata if isinstance(data.data, MuData) else MultiDGD.setup_anndata
    setup(data.data, batch_key="batch")
    labels = data.labels
    model = MultiDGD(data.data, n_components=data.n_types, **model_kwargs)
    if isinstance(train.get("max_epochs"), float):
        train["max_epochs"] = round(train["max_epochs"] * default_epochs(data.data.n_obs))
    model.train(enable_progress_bar=False, plan_kwargs=plan, **train)
    z = model.get_latent_representation()
    loss = float(model.history["validation_loss"].iloc[:, 0].astype(float).min())
    return knn_accuracy(z, labels), kmeans_nmi_ari(z, labels)[0], loss


def default_epochs(n_cells: int) -> int:
    """Epochs that the model takes by default for 90 % of the cells."""
    from multiDGD.model._training import default_max_epochs

    return default_max_epochs(int(0.9 * n_cells))


def table(results: Mapping[str, Mapping[str, Sequence[tuple[float, float, float]]]]) -> str:
    """Markdown, one row a variant."""
    names = list(next(iter(results.values())))
    lines = ["| | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for variant, by_data in results.items():
        cells = []
        for name in names:
            knn, nmi, loss = np.mean(by_data[name], axis=0)
            cells.append(f"{knn:.3f} / {nmi:.3f} / {loss:.0f}")
        lines.append(f"| {variant} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="+", default=["bmmc_multiome", "bmmc_cite"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    scvi.settings.verbosity = logging.ERROR
    results: dict[str, dict[str, list[tuple[float, float, float]]]] = {}
    for variant in args.variants:
        results[variant] = {
            name: [run(name, variant, seed) for seed in args.seeds] for name in args.data
        }
        print(table({variant: results[variant]}).splitlines()[-1], flush=True)
    seeds = ", ".join(map(str, args.seeds))
    text = f"kNN / NMI / validation loss, mean of seeds {seeds}\n\n{table(results)}\n"
    if args.out is not None:
        args.out.write_text(f"# Defaults of training\n\n{text}")


if __name__ == "__main__":
    main()
