"""Components of new covariate categories, learned with all other parameters frozen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from multiDGD.module import MultiDGDModule, frozen, take_cells
from multiDGD.train import RowAdam

from ._candidates import best_candidates

#: A minibatch, after its module.
Pair: TypeAlias = tuple[MultiDGDModule, dict[str, Any]]


def learn_categories(
    module: MultiDGDModule,
    batches: Sequence[Mapping[str, Any]],
    new: Mapping[str, Sequence[int]],
    *,
    modules: Sequence[MultiDGDModule] | None = None,
    n_epochs: int | None = None,
    lr: float = 0.03,
    lr_rows: float = 0.1,
) -> list[float]:
    """Learn the components of new categories by maximum a posteriori.

    The mean of a new category is initialised at the best candidate: the mean of a known category,
    the average of these means, or the origin. Then the mean and scale are optimised jointly with
    the cells' representations. The representations are parameterised as offsets from the mean, so
    that cells move with it. With separate parameters, cells and mean would hold each other back.

    Parameters
    ----------
    module
        A trained module with components for the new categories. These change in place.
    batches
        Minibatches of cells of the new categories, on the module's device.
    new
        Codes of the new categories of each modelled covariate, by name.
    modules
        Module of each minibatch, restricted to its measured features
        (:class:`multiDGD.module.FeatureSubset`); ``module`` itself by default.
    n_epochs
        Passes over the minibatches; by default enough for 150 steps, and at least 20.
    lr, lr_rows
        Initial learning rates of Adam for the components and the representations. Both decay to
        0 along a cosine.

    Returns
    -------
    Negative log posterior of all cells (nats) in each epoch.
    """
    new_codes = {name: list(codes) for name, codes in new.items() if len(codes)}
    if not new_codes or not batches:
        return []
    if n_epochs is None:
        n_epochs = max(20, math.ceil(150 / len(batches)))
    # Without labels, so that labels predicted for these cells do not depend on them.
    unlabelled = [{**b, "labels": torch.full_like(b["labels"], -1)} for b in batches]
    pairs = list(zip(modules or [module] * len(batches), unlabelled, strict=True))
    with frozen(module):
        _initialise(module, pairs, new_codes)
        return _refine(module, pairs, new_codes, n_epochs, lr, lr_rows)


@torch.no_grad()
def _initialise(
    module: MultiDGDModule, pairs: Sequence[Pair], new: Mapping[str, list[int]]
) -> None:
    """Set the mean of each new category to the best candidate, one category after the other."""
    mixtures = dict(zip(module.covariates, module.mixtures_of_covariates, strict=True))
    for name, codes in new.items():
        mean = mixtures[name].mean
        known = mean[[k for k in range(len(mean)) if k not in codes]]
        candidates = [*known, known.mean(0), torch.zeros_like(known[0])]
        column = module.covariate_columns[module.covariates.index(name)]
        for code in codes:
            parts = [(m, _cells_in_category(batch, column, code)) for m, batch in pairs]
            losses = []
            for candidate in candidates:
                mean[code] = candidate
                losses.append(sum(_best_loss(m, part) for m, part in parts if part))
            mean[code] = candidates[losses.index(min(losses))]


def _cells_in_category(batch: dict[str, Any], column: int, code: int) -> dict[str, Any] | None:
    """Subset a minibatch to the cells of one category; `None` if there are none."""
    cells = (batch["covariates"][:, column] == code).nonzero().squeeze(-1)
    return take_cells(batch, cells) if len(cells) else None


def _best_loss(module: MultiDGDModule, batch: dict[str, Any]) -> float:
    return float(module.objective(batch, best_candidates(module, batch)).loss)


def _refine(
    module: MultiDGDModule,
    pairs: Sequence[Pair],
    new: Mapping[str, list[int]],
    n_epochs: int,
    lr: float,
    lr_rows: float,
) -> list[float]:
    indices = [module.covariates.index(name) for name in new]
    mixtures = [module.mixtures_of_covariates[i] for i in indices]
    columns = [module.covariate_columns[i] for i in indices]
    parameters = [
        (p, codes)
        for mixture, codes in zip(mixtures, new.values(), strict=True)
        for p in (mixture.mean, mixture.neglogvar)
    ]
    tables = []
    for restricted, batch in pairs:
        w = best_candidates(restricted, batch)
        offset = w - _category_means(module, w, batch, indices, columns).detach()
        tables.append(RowAdam(offset, lr_rows))
    n_cells = sum(len(batch["cells"]) for _, batch in pairs)
    optimizer = torch.optim.Adam([p for p, _ in parameters], lr=lr)
    losses = []
    for parameter, _ in parameters:
        parameter.requires_grad_(True)
    for epoch in range(n_epochs):
        factor = 0.5 + 0.5 * math.cos(math.pi * epoch / n_epochs)
        optimizer.param_groups[0]["lr"] = lr * factor
        losses.append(0.0)
        for (restricted, batch), rows in zip(pairs, tables, strict=True):
            leaf = rows.table.clone().requires_grad_()
            w = leaf + _category_means(module, leaf, batch, indices, columns)
            output = restricted.objective(batch, w, n_cells)
            optimizer.zero_grad()
            output.loss.backward()
            for parameter, codes in parameters:
                _mask_gradient(parameter, codes)
            optimizer.step()
            assert leaf.grad is not None
            rows.step(torch.arange(len(leaf), device=leaf.device), leaf.grad, factor)
            losses[-1] += float(output.loss.detach())
    for parameter, _ in parameters:
        parameter.requires_grad_(False)
    return losses


def _category_means(
    module: MultiDGDModule,
    w: Tensor,
    batch: Mapping[str, Any],
    indices: Sequence[int],
    columns: Sequence[int],
) -> Tensor:
    """Means of each cell's categories in the given covariates, 0 elsewhere, shape of `w`."""
    z, u = module.split(torch.zeros_like(w))
    for index, column in zip(indices, columns, strict=True):
        mean = module.mixtures_of_covariates[index].mean
        u[index] = mean[batch["covariates"][:, column]]
    return torch.cat([z, *u], dim=1)


def _mask_gradient(parameter: Tensor, rows: Sequence[int]) -> None:
    """Set the gradient to 0 in all other rows."""
    if parameter.grad is not None:
        masked = torch.zeros_like(parameter.grad)
        masked[rows] = parameter.grad[rows]
        parameter.grad = masked
