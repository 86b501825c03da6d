"""Categories of covariates that the model has not seen, learned with everything else frozen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from multiDGD.module import MultiDGDModule, frozen, take_cells
from multiDGD.train import RowAdam

from ._candidates import best_candidates


def learn_categories(
    module: MultiDGDModule,
    batches: Sequence[Mapping[str, Any]],
    new: Mapping[str, Sequence[int]],
    *,
    n_epochs: int | None = None,
    lr: float = 0.03,
    lr_rows: float = 0.1,
) -> list[float]:
    """Learn the components of new categories by maximum a posteriori.

    Each starts at the best of the other categories' means, their average and the origin. Then
    its mean and scale are optimised together with the cells' representations. These are held as
    distances from the mean, so that a category moves its cells along: alone, each would be kept
    back by the others.

    Parameters
    ----------
    module
        A trained module with components for the new categories, which are changed in place.
    batches
        Minibatches of cells of the new categories, on the module's device.
    new
        Codes of the new categories of each modelled covariate.
    n_epochs
        Passes over the minibatches; by default as many as make 150 steps, and at least 20.
    lr, lr_rows
        Learning rates of Adam for the components and the cells, at the start of a cosine.

    Returns
    -------
    Negative log posterior of all cells (nats) in each epoch.
    """
    wanted = {name: list(codes) for name, codes in new.items() if len(codes)}
    if not wanted or not batches:
        return []
    if n_epochs is None:
        n_epochs = max(20, math.ceil(150 / len(batches)))
    # Labels stay out, so that what is predicted for these cells is a prediction.
    unlabeled = [{**b, "labels": torch.full_like(b["labels"], -1)} for b in batches]
    with frozen(module):
        _place(module, unlabeled, wanted)
        return _refine(module, unlabeled, wanted, n_epochs, lr, lr_rows)


@torch.no_grad()
def _place(
    module: MultiDGDModule, batches: Sequence[dict[str, Any]], new: Mapping[str, list[int]]
) -> None:
    """Give every new category the best of some means, one after the other."""
    mixtures = dict(zip(module.covariates, module.mixtures_of_covariates, strict=True))
    for name, codes in new.items():
        mean = mixtures[name].mean
        known = mean[[k for k in range(len(mean)) if k not in codes]]
        candidates = [*known, known.mean(0), torch.zeros_like(known[0])]
        column = module.covariate_columns[module.covariates.index(name)]
        for code in codes:
            mine = [_of_category(batch, column, code) for batch in batches]
            losses = []
            for candidate in candidates:
                mean[code] = candidate
                losses.append(sum(_loss_at_best(module, batch) for batch in mine if batch))
            mean[code] = candidates[losses.index(min(losses))]


def _of_category(batch: dict[str, Any], column: int, code: int) -> dict[str, Any] | None:
    """The cells of one category; `None` if there are none."""
    cells = (batch["covariates"][:, column] == code).nonzero().squeeze(-1)
    return take_cells(batch, cells) if len(cells) else None


def _loss_at_best(module: MultiDGDModule, batch: dict[str, Any]) -> float:
    return float(module.objective(batch, best_candidates(module, batch)).loss)


def _refine(
    module: MultiDGDModule,
    batches: Sequence[dict[str, Any]],
    new: Mapping[str, list[int]],
    n_epochs: int,
    lr: float,
    lr_rows: float,
) -> list[float]:
    numbers = [module.covariates.index(name) for name in new]
    learned = [module.mixtures_of_covariates[i] for i in numbers]
    columns = [module.covariate_columns[i] for i in numbers]
    parameters = [
        (p, codes)
        for mixture, codes in zip(learned, new.values(), strict=True)
        for p in (mixture.mean, mixture.neglogvar)
    ]
    tables = []
    for batch in batches:
        w = best_candidates(module, batch)
        tables.append(RowAdam(w - _offsets(module, w, batch, numbers, columns).detach(), lr_rows))
    n_cells = sum(len(batch["cells"]) for batch in batches)
    optimizer = torch.optim.Adam([p for p, _ in parameters], lr=lr)
    losses = []
    for parameter, _ in parameters:
        parameter.requires_grad_(True)
    for epoch in range(n_epochs):
        factor = 0.5 + 0.5 * math.cos(math.pi * epoch / n_epochs)
        optimizer.param_groups[0]["lr"] = lr * factor
        losses.append(0.0)
        for batch, rows in zip(batches, tables, strict=True):
            leaf = rows.table.clone().requires_grad_()
            w = leaf + _offsets(module, leaf, batch, numbers, columns)
            output = module.objective(batch, w, n_cells)
            optimizer.zero_grad()
            output.loss.backward()
            for parameter, codes in parameters:
                _keep_rows(parameter, codes)
            optimizer.step()
            assert leaf.grad is not None
            rows.step(torch.arange(len(leaf), device=leaf.device), leaf.grad, factor)
            losses[-1] += float(output.loss.detach())
    for parameter, _ in parameters:
        parameter.requires_grad_(False)
    return losses


def _offsets(
    module: MultiDGDModule,
    w: Tensor,
    batch: Mapping[str, Any],
    numbers: Sequence[int],
    columns: Sequence[int],
) -> Tensor:
    """What each cell's row gets from the means of its categories, in the shape of the rows."""
    z, u = module.split(torch.zeros_like(w))
    for number, column in zip(numbers, columns, strict=True):
        mean = module.mixtures_of_covariates[number].mean
        u[number] = mean[batch["covariates"][:, column]]
    return torch.cat([z, *u], dim=1)


def _keep_rows(parameter: Tensor, rows: Sequence[int]) -> None:
    if parameter.grad is not None:
        kept = torch.zeros_like(parameter.grad)
        kept[rows] = parameter.grad[rows]
        parameter.grad = kept
