"""Representations of cells by maximum a posteriori, with everything else frozen."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor, nn

from multiDGD.module import MultiDGDModule
from multiDGD.nn import Counts

from ._row_adam import RowAdam


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Ask for no gradients of a module's parameters, which would be computed and thrown away."""
    learned = [p for p in module.parameters() if p.requires_grad]
    for parameter in learned:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learned:
            parameter.requires_grad_(True)


def frozen_gradient(
    module: MultiDGDModule, batch: dict[str, Any], representation: Tensor
) -> tuple[Any, Tensor]:
    """Loss of a minibatch and its gradient by the representations alone.

    Parameters
    ----------
    module
        The module; none of its parameters receives a gradient.
    batch
        A minibatch of n cells.
    representation
        Shape ``(n, n_representation)``.
    """
    with frozen(module), torch.enable_grad():
        leaf = representation.detach().requires_grad_()
        output = module.objective(batch, leaf)
        (gradient,) = torch.autograd.grad(output.loss, leaf)
    return output, gradient


def infer_representations(
    module: MultiDGDModule,
    batches: Iterable[dict[str, Any]],
    *,
    n_steps: int = 100,
    lr: float = 0.1,
) -> Tensor:
    """Find the representations of cells the model was not trained on.

    Every cell starts at the component of the mixture that explains its counts best, with the
    mean of its category in every covariate, and goes down from there. Labels are not used.

    Parameters
    ----------
    module
        A trained module, left as it is.
    batches
        Minibatches of cells.
    n_steps
        Steps of Adam, with a learning rate that falls to 0 by a cosine.
    lr
        Its learning rate at the start.

    Returns
    -------
    Shape ``(n, n_representation)``, in the order of the batches, on the CPU.
    """
    found = []
    device = module.device
    for batch in batches:
        batch = move_data_to_device(batch, device)
        batch["labels"] = torch.full_like(batch["labels"], -1)
        table = best_candidates(module, batch)
        optimizer = RowAdam(table, lr)
        rows = torch.arange(len(table), device=device)
        for step in range(n_steps):
            _, gradient = frozen_gradient(module, batch, table)
            optimizer.step(rows, gradient, 0.5 + 0.5 * math.cos(math.pi * step / n_steps))
        found.append(table.cpu())
    return torch.cat(found)


@torch.no_grad()
def best_candidates(module: MultiDGDModule, batch: dict[str, Any]) -> Tensor:
    """The mixture's component mean under which each cell's counts are most likely.

    Candidates are compared by the multinomial likelihood of the counts given their total, which
    costs one product with the non-zeros for all cells and candidates.

    Parameters
    ----------
    module
        The module.
    batch
        A minibatch of n cells on the module's device.

    Returns
    -------
    Shape ``(n, n_representation)``.
    """
    means_kl = module.mixture.mean
    table = means_kl.new_zeros(len(batch["cells"]), module.n_representation)
    codes, continuous = batch["covariates"], batch["continuous"]
    # Cells in the same situation share their candidates. A column of zeros keeps a row from being
    # empty, which `unique` refuses.
    zero = continuous.new_zeros(len(codes), 1)
    situations, of_cell = torch.unique(
        torch.cat([zero, continuous, codes.to(zero)], dim=1), dim=0, return_inverse=True
    )
    sizes = [1, continuous.shape[1], codes.shape[1]]
    for number, situation in enumerate(situations):
        cells = (of_cell == number).nonzero().squeeze(-1)
        _, value, code = situation.split(sizes)
        u = category_means(module, code[None].long()).expand(len(means_kl), -1)
        candidates = torch.cat([means_kl, u], dim=1)
        logits = module.generative(candidates, value.expand(len(means_kl), -1))["logits"]
        scores = [_multinomial_scores(a, batch["counts"][m], cells) for m, a in logits.items()]
        table[cells] = candidates[torch.stack(scores).sum(0).argmax(1)]
    return table


def _multinomial_scores(logits_kf: Tensor, counts: Counts, cells: Tensor) -> Tensor:
    position = torch.full((counts.n_cells,), -1, device=cells.device)
    position[cells] = torch.arange(len(cells), device=cells.device)
    rows = position[counts.rows]
    here = rows >= 0
    log_share_fk = logits_kf.float().log_softmax(-1).T
    terms = counts.values[here, None] * log_share_fk[counts.columns[here]]
    return terms.new_zeros(len(cells), len(logits_kf)).index_add(0, rows[here], terms)


def category_means(module: MultiDGDModule, codes: Tensor) -> Tensor:
    """Means of the given categories in every covariate's mixture, joined.

    Parameters
    ----------
    module
        The module.
    codes
        Category of each registered covariate, -1 for unknown (the average of all), shape
        ``(n, covariates)``.

    Returns
    -------
    Shape ``(n, n_representation - n_latent)``.
    """
    parts = [module.mixture.mean.new_zeros(len(codes), 0)]
    columns = module.covariate_columns
    for column, mixture in zip(columns, module.mixtures_of_covariates, strict=True):
        code = codes[:, column]
        known = mixture.mean[code.clamp(min=0)]
        average = mixture.mean.mean(0, keepdim=True).expand_as(known)
        parts.append(torch.where(code[:, None] >= 0, known, average))
    return torch.cat(parts, dim=1).detach()
