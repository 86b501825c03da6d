"""How well, and how fast, are the representations of new cells found?

``python benchmarks/inference.py snareseq_mouse_cortex bmmc_multiome --out benchmarks/results/inference.json``

Trains with the defaults on all cells but those held out, then finds the held-out cells'
representations and compares their negative log posterior with that of descents from every
component, by the same method and by Adam. Writes a table beside the results' folder.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import math
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import scvi
import torch
from _data import BATCH_KEY, DATASETS, LABEL_KEY, UNKNOWN, load
from _methods import QUIET
from _steps import stepper
from _timing import Seconds, alternate, machine, timed
from torch import Tensor

from multiDGD import MultiDGD
from multiDGD.train import RowAdam, category_means, infer_representations
from multiDGD.train._batches import join, take_cells
from multiDGD.train._frozen import cell_losses, frozen_gradient

BATCH = 128
INTRO = """\
Written by `python benchmarks/inference.py`. A model is trained with the defaults on all cells but those
held out; their representations are then found with the model frozen, minibatches of 128.

- **above Adam from every component**: excess of our negative log posterior (one descent a cell, the
  default) over the lowest of descents of 1,000 Adam steps (0.1, cosine) from every component of the
  mixture: mean over the mean, and the worst cell. For the first cells only, since Adam is slow.
- **above own descents from every component**: the same against `n_starts` = all components and a
  tolerance of 0.001 nats, for all held-out cells.
- **time in training epochs**: an epoch is that of as many training cells, from blocks of 12 steps (fewer where an epoch has fewer) taken
  in turns with the inference in one process; medians, with the least and largest of the pairs.
- **training cells nearest to themselves**: cells of the model, of which a tenth served for validation, are
  asked about as if they were new. Share
  whose own row is nearer than the row of any other cell of the same type: with the rows as training
  left them, and as they are when these have descended to their own optimum (`start=` the table).
  Training ends before each row has reached its optimum; that, and no tolerance, limits the first.
"""
#: Learning rate of the reference's Adam, which falls to 0 by a cosine.
LR = 0.1


def losses(module: Any, batch: dict[str, Any], w: Tensor) -> Tensor:
    """Negative log posterior of each cell (nats), labels not used."""
    batch = {**batch, "labels": torch.full_like(batch["labels"], -1)}
    parts = torch.arange(len(w)).split(BATCH)
    return torch.cat([cell_losses(module, take_cells(batch, p), w[p])[0] for p in parts])


def adam_from_every_component(module: Any, batch: dict[str, Any], n_steps: int) -> Tensor:
    """Lowest value of each cell over descents by Adam from every component."""
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


def nearest_to_itself(table: np.ndarray, found: np.ndarray, labels: np.ndarray, cells: Any) -> Any:
    """For each cell, whether its own row is nearer than that of any other cell of its type."""
    nearest = []
    for z, cell in zip(found, cells, strict=True):
        distance = np.linalg.norm(table - z, axis=1)
        others = labels == labels[cell]
        others[cell] = False
        if others.any():
            nearest.append(distance[cell] < distance[others].min())
    return nearest


def excess(value: Tensor, reference: Tensor) -> dict[str, float]:
    """How much is missing, as a share of the reference."""
    share = (value - reference) / reference.abs()
    mean = (value - reference).mean() / reference.abs().mean()
    return {"mean": mean.item(), "worst": share.max().item()}


def measure(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """Everything about one data set."""
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
    every = losses(
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
    again = infer_representations(module, manager.batches(cells, BATCH))[:, z].numpy()
    table = module.representations.z.detach()
    settled = infer_representations(module, manager.batches(None, BATCH), start=table)

    own = {
        "trained": table[:, z].numpy(),
        "settled": settled[:, z].numpy(),
    }
    return {
        "data": name,
        "cells": n_held_out,
        "components": n_components,
        "loss": found.mean().item(),
        "adam": excess(found[: len(adam)], adam),
        "adam_cells": len(adam),
        "adam_steps": args.adam_steps,
        "every": excess(found, every),
        "every_on_adam": excess(every[: len(adam)], adam),
        "itself": {
            k: float(np.mean(nearest_to_itself(t, again, labels, cells))) for k, t in own.items()
        },
        "itself_cells": len(cells),
        **times(model, batches, args),
    }


def times(model: Any, batches: list[dict[str, Any]], args: argparse.Namespace) -> dict[str, Any]:
    """Seconds of the inference beside those of training; the model is trained on meanwhile."""
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
    """Ratio of the medians, and the least and largest of the pairs."""
    pairs = [x[clock] / y[clock] for x, y in zip(a, b, strict=True)]
    return (
        float(np.median([x[clock] for x in a]) / np.median([y[clock] for y in b])),
        min(pairs),
        max(pairs),
    )


HEAD = [
    "data",
    "new cells",
    "nats a cell",
    "above Adam from every component: mean, worst",
    "above own descents from every component: mean, worst",
    "time in training epochs, cpu (wall)",
    "cells a second, cpu (wall)",
    "training cells nearest to themselves: trained row, settled row",
]


def page(rows: list[dict[str, Any]]) -> str:
    """The table as a Markdown file."""
    lines = [HEAD, ["---"] * len(HEAD)]
    for r in rows:
        adam, every = r["adam"], r["every"]
        cpu, low, high = r["epochs_cpu"]
        lines.append(
            [
                r["data"],
                f"{r['cells']:,}",
                f"{r['loss']:.1f}",
                f"{adam['mean']:.3%}, {adam['worst']:.2%} ({r['adam_cells']} cells)",
                f"{every['mean']:.3%}, {every['worst']:.2%}",
                f"{cpu:.1f} ({low:.1f}-{high:.1f}; {r['epochs_wall'][0]:.1f})",
                f"{r['cells_per_second_cpu']:.0f} ({r['cells_per_second_wall']:.0f})",
                f"{r['itself']['trained']:.1%}, {r['itself']['settled']:.1%}",
            ]
        )
    taken = [f"- {r['machine']}; load {r['load']:g}: {r['data']}" for r in rows]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return (
        f"# Inference of new cells\n\n{INTRO}\n{table}\n\n## Taken on\n\n"
        + "\n".join(taken)
        + "\n"
    )


def main() -> None:
    """Parse the command line, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", choices=DATASETS)
    parser.add_argument("--held-out", type=int, default=1000, help="at most a tenth of the cells")
    parser.add_argument("--adam-cells", type=int, default=20, help="the first, of those held out")
    parser.add_argument("--adam-steps", type=int, default=1000)
    parser.add_argument("--max-epochs", type=int, help="of training; the model's default")
    parser.add_argument("--steps", type=int, default=12, help="training steps of a timed block")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="JSON; rows of other data sets in it are kept")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(args.threads)

    kept: dict[str, Any] = {}
    if args.out is not None and args.out.exists():
        kept = {row["data"]: row for row in json.loads(args.out.read_text())}
    for name in args.data:
        kept[name] = measure(name, args)
        rows = [kept[name] for name in DATASETS if name in kept]
        if args.out is not None:
            args.out.write_text(json.dumps(rows, indent=1) + "\n")
            args.out.parent.with_name("inference.md").write_text(page(rows))
    print(page(rows))


if __name__ == "__main__":
    main()
