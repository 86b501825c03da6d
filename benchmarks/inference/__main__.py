"""Accuracy and speed of the inference of representations of held-out cells.

``python -m benchmarks.inference snareseq_mouse_cortex bmmc_multiome --out benchmarks/inference/results``

MultiDGD is trained with its defaults without the held-out cells, whose representations are then
inferred. Their negative log posterior is compared with that of optimisations from every component,
by the same optimiser and by Adam. ``--out`` is a folder, with a results file per data set;
``inference.md`` shows those in ``benchmarks/inference/results``. Without a data set only the page
is written.
"""

from __future__ import annotations

import argparse
import copy
import logging
import math
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import scvi
import torch
from torch import Tensor

from benchmarks.inference.page import render, table
from benchmarks.shared.command_line import make_parser
from benchmarks.shared.data import BATCH_KEY, DATASETS, LABEL_KEY, UNKNOWN, load
from benchmarks.shared.package_internals import (
    RowAdam,
    category_means,
    cell_losses,
    frozen_gradient,
    infer_representations,
    join,
    take_cells,
)
from benchmarks.shared.pages import save
from benchmarks.shared.results import command, write
from benchmarks.shared.settings import QUIET
from benchmarks.shared.timing import Seconds, alternate, machine, timed
from benchmarks.shared.training_steps import stepper
from multiDGD import MultiDGD

BATCH = 128
HELD_OUT, ADAM_CELLS, ADAM_STEPS, STEPS, REPEATS = 1000, 20, 1000, 12, 5
#: Initial learning rate of Adam; it decreases to 0 with a cosine schedule.
LR = 0.1


def losses(module: Any, batch: dict[str, Any], w: Tensor) -> Tensor:
    """Negative log posterior of each cell (nats), without labels."""
    batch = {**batch, "labels": torch.full_like(batch["labels"], -1)}
    parts = torch.arange(len(w)).split(BATCH)
    return torch.cat([cell_losses(module, take_cells(batch, p), w[p])[0] for p in parts])


def adam_from_every_component(module: Any, batch: dict[str, Any], n_steps: int) -> Tensor:
    """Lowest negative log posterior of each cell over runs of Adam from every component."""
    means, u = module.mixture.mean.detach(), category_means(module, batch["covariates"])
    w = torch.cat([means.repeat(len(u), 1), u.repeat_interleave(len(means), 0)], 1)
    cell = torch.arange(len(u)).repeat_interleave(len(means))
    found = []
    for rows in torch.arange(len(w)).split(BATCH):
        part = take_cells(batch, cell[rows])
        optimizer, every = RowAdam(w[rows], LR), torch.arange(len(rows))
        for step in range(n_steps):
            _, gradient = frozen_gradient(module, part, optimizer.table)
            factor = 0.5 + 0.5 * math.cos(math.pi * step / n_steps)
            optimizer.step(every, gradient, factor)
        found.append(losses(module, part, optimizer.table))
    return torch.cat(found).view(len(u), -1).amin(1)


def closest_to_own(z: np.ndarray, inferred: np.ndarray, labels: np.ndarray, cells: Any) -> Any:
    """Whether an inferred representation is closer to its cell than to others of its type."""
    is_closest = []
    for z_cell, cell in zip(inferred, cells, strict=True):
        distance = np.linalg.norm(z - z_cell, axis=1)
        others = labels == labels[cell]
        others[cell] = False
        if others.any():
            is_closest.append(distance[cell] < distance[others].min())
    return is_closest


def excess(value: Tensor, reference: Tensor) -> dict[str, float]:
    """Excess of the negative log posterior, as a share of the reference."""
    share = (value - reference) / reference.abs()
    mean = (value - reference).mean() / reference.abs().mean()
    return {"mean": mean.item(), "worst": share.max().item()}


def measure(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """All measurements of one data set."""
    data = load(name).data
    n_held_out = min(args.held_out, data.n_obs // 10)
    order = np.random.default_rng(0).permutation(data.n_obs)
    query, reference = (data[np.sort(c)].copy() for c in np.split(order, [n_held_out]))
    scvi.settings.seed = 0
    MultiDGD.setup_mudata(reference, batch_key=BATCH_KEY if BATCH_KEY in data.obs else None)
    model = MultiDGD(reference)
    model.train(max_epochs=args.max_epochs, **QUIET)
    module = model.module.eval()
    n_components = module.mixture.n_mix_comp
    batches = list(model._manager_of(query).batches(None, BATCH))
    whole = join(batches)

    found = losses(module, whole, infer_representations(module, batches))
    all_components = losses(
        module,
        whole,
        infer_representations(module, batches, n_starts=n_components, tolerance=1e-3),
    )
    few = take_cells(whole, torch.arange(min(args.adam_cells, n_held_out)))
    few["labels"] = torch.full_like(few["labels"], -1)
    adam = adam_from_every_component(module, few, args.adam_steps)

    manager, labels = model.adata_manager, reference.obs[LABEL_KEY].astype(str).to_numpy()
    known = np.flatnonzero(~np.isin(labels, UNKNOWN))
    cells = np.sort(np.random.default_rng(1).permutation(known)[: args.held_out])
    z = slice(0, module.n_latent)
    inferred = infer_representations(module, manager.batches(cells, BATCH))[:, z].numpy()
    trained = module.representations.z.detach()
    converged = infer_representations(module, manager.batches(None, BATCH), start=trained)
    own = {"trained": trained[:, z].numpy(), "converged": converged[:, z].numpy()}
    return {
        "data": name,
        "cells": n_held_out,
        "components": n_components,
        "loss": found.mean().item(),
        "excess_over_adam": excess(found[: len(adam)], adam),
        "adam_cells": len(adam),
        "adam_steps": args.adam_steps,
        "excess_over_all_components": excess(found, all_components),
        "all_components_over_adam": excess(all_components[: len(adam)], adam),
        "closest_to_own": {
            k: float(np.mean(closest_to_own(t, inferred, labels, cells))) for k, t in own.items()
        },
        "closest_to_own_cells": len(cells),
        **times(model, batches, args),
    }


def times(model: Any, batches: list[dict[str, Any]], args: argparse.Namespace) -> dict[str, Any]:
    """Time of inference against that of training, which continues between the repeats."""
    module = copy.deepcopy(model.module)
    n_cells = sum(len(batch["cells"]) for batch in batches)
    n_steps = min(args.steps, model.adata.n_obs * 9 // 10 // BATCH - 2)
    train = stepper(model, 2, n_steps, batch_size=BATCH, plan_kwargs={"hold": 0.0})
    found = alternate(
        {"train": train, "infer": lambda: timed(lambda: infer_representations(module, batches))},
        args.repeats,
    )
    epoch, infer = [s.times(n_cells / BATCH) for s in found["train"]], found["infer"]
    return {
        "epochs_cpu": ratio(infer, epoch, 1),
        "epochs_wall": ratio(infer, epoch, 0),
        "cells_per_second_cpu": n_cells / np.median([s.cpu for s in infer]),
        "cells_per_second_wall": n_cells / np.median([s.wall for s in infer]),
        "machine": machine(),
        "load": round(os.getloadavg()[0], 1),
    }


def ratio(a: list[Seconds], b: list[Seconds], clock: int) -> tuple[float, float, float]:
    """Ratio of the medians, and the smallest and largest ratio of pairs."""
    pairs = [x[clock] / y[clock] for x, y in zip(a, b, strict=True)]
    return (
        float(np.median([x[clock] for x in a]) / np.median([y[clock] for y in b])),
        min(pairs),
        max(pairs),
    )


def command_of(name: str, args: argparse.Namespace) -> str:
    """Command that repeats the measurements of a data set."""
    defaults = {
        "held_out": HELD_OUT,
        "adam_cells": ADAM_CELLS,
        "adam_steps": ADAM_STEPS,
        "max_epochs": None,
        "steps": STEPS,
        "repeats": REPEATS,
        "threads": 1,
    }
    given = {k: v for k, v in vars(args).items() if k in defaults and v != defaults[k]}
    return command("inference", name, **given, out=args.out)


def main() -> None:
    """Parse the command line, measure, write the page."""
    parser = make_parser(__package__, __doc__)
    parser.add_argument("data", nargs="*", help=f"of {', '.join(DATASETS)}")
    parser.add_argument(
        "--held-out", type=int, default=HELD_OUT, help="at most a tenth of the cells is held out"
    )
    parser.add_argument(
        "--adam-cells", type=int, default=ADAM_CELLS, help="held-out cells compared with Adam"
    )
    parser.add_argument("--adam-steps", type=int, default=ADAM_STEPS)
    parser.add_argument("--max-epochs", type=int, help="epochs of training (default: the model's)")
    parser.add_argument("--steps", type=int, default=STEPS, help="training steps per timed block")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="folder of the results files")
    args = parser.parse_args()
    if set(args.data) - set(DATASETS):
        parser.error(f"data sets are {list(DATASETS)}, found {args.data}")
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(args.threads)

    found = []
    for name in args.data:
        found.append(measure(name, args))
        if args.out is not None:
            write(args.out / f"{name}.json", command_of(name, args), {"rows": found[-1:]})
    if found:
        print(table(found))
    save(render())


if __name__ == "__main__":
    main()
