"""Speed and optima of inference with and without the quadratic model in the last hidden layer.

``python -m benchmarks.inference.optimisers pbmc10k_cite --out benchmarks/inference/results``

MultiDGD is trained with its defaults without the held-out cells, or read from ``--models``, a folder
with a saved model of these cells for each data set. The held-out cells are then inferred in turn by
both ways of optimisation in one process.
"""

from __future__ import annotations

import argparse
import logging
import os
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import scvi
import torch

from benchmarks.inference.__main__ import BATCH, HELD_OUT, excess, losses
from benchmarks.shared.command_line import make_parser
from benchmarks.shared.data import BATCH_KEY, DATASETS, load
from benchmarks.shared.package_internals import infer_representations, join
from benchmarks.shared.results import command, write
from benchmarks.shared.settings import QUIET
from benchmarks.shared.timing import alternate, machine, timed
from multiDGD import MultiDGD

REPEATS = 3


@contextmanager
def without_model() -> Any:
    """Minimise every posterior itself, as for modules without wide modalities."""
    with (
        mock.patch.multiple(
            "multiDGD.inference._infer_representations", wide_modalities=lambda module: []
        ),
        mock.patch.multiple("multiDGD.inference._optimise", wide_modalities=lambda module: []),
    ):
        yield


def measure(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """Cells per second of both ways, and the excess of the optima of one over those of the other."""
    data = load(name).data
    order = np.random.default_rng(0).permutation(data.n_obs)
    held_out = min(HELD_OUT, data.n_obs // 10)
    query, reference = (data[np.sort(c)].copy() for c in np.split(order, [held_out]))
    if args.models is not None:
        model = MultiDGD.load(str(args.models / name), adata=reference, accelerator="cpu")
    else:
        scvi.settings.seed = 0
        MultiDGD.setup_mudata(reference, batch_key=BATCH_KEY if BATCH_KEY in data.obs else None)
        model = MultiDGD(reference)
        model.train(**QUIET)
    module = model.module.eval()
    batches = list(model._manager_of(query).batches(None, BATCH))
    whole, found = join(batches), {}

    def with_model() -> None:
        found["model"] = losses(module, whole, infer_representations(module, batches))

    def bfgs() -> None:
        with without_model():
            found["bfgs"] = losses(module, whole, infer_representations(module, batches))

    seconds = alternate(
        {"model": lambda: timed(with_model), "bfgs": lambda: timed(bfgs)}, args.repeats
    )
    return {
        "data": name,
        "cells": held_out,
        "loss": {k: v.mean().item() for k, v in found.items()},
        "excess_of_model": excess(found["model"], found["bfgs"]),
        "excess_of_bfgs": excess(found["bfgs"], found["model"]),
        "cells_per_second_cpu": {
            k: held_out / float(np.median([s.cpu for s in v])) for k, v in seconds.items()
        },
        "ratios_cpu": [
            b.cpu / a.cpu for a, b in zip(seconds["model"], seconds["bfgs"], strict=True)
        ],
        "machine": machine(),
        "load": round(os.getloadavg()[0], 1),
    }


def main() -> None:
    """Parse the command line and measure."""
    parser = make_parser(__package__, __doc__)
    parser.add_argument("data", nargs="+", help=f"of {', '.join(DATASETS)}")
    parser.add_argument("--models", type=Path, help="folder of saved models")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--out", type=Path, help="folder of the results files")
    args = parser.parse_args()
    if set(args.data) - set(DATASETS):
        parser.error(f"data sets are {list(DATASETS)}, found {args.data}")
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    for name in args.data:
        row = measure(name, args)
        print(row)
        if args.out is not None:
            given = {"repeats": args.repeats} if args.repeats != REPEATS else {}
            if args.models is not None:
                given["models"] = args.models
            line = command("inference.optimisers", name, **given, out=args.out)
            write(args.out / f"optimisers_{name}.json", line, {"rows": [row]})


if __name__ == "__main__":
    main()
