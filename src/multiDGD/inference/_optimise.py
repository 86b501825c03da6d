"""Optimisation of representations from given starting points."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from multiDGD._newton import minimize
from multiDGD.module import MultiDGDModule, cell_losses, take_cells

from ._curvature import Curvature
from ._hidden_model import Expansion, HiddenModel, expand, wide_modalities

# Evaluations of the model in one step. They cost little compared with the likelihood.
_MODEL_STEPS = 30
# Tolerance of the model's minimum, as a share of that of the posterior.
_MODEL_TOLERANCE = 0.5
# Required share of the decrease that the model predicts.
_SUFFICIENT_DECREASE = 1e-4
# The damping increases if a step gains less than the first share of the prediction, and decreases
# if it gains more than the second.
_POOR, _GOOD = 0.25, 0.75


@torch.no_grad()
def optimise(
    module: MultiDGDModule,
    curvature: Curvature,
    start: Tensor,
    batch: dict[str, Any],
    at_once: int,
    tolerance: float,
    max_steps: int,
    surrogate: MultiDGDModule | None = None,
) -> tuple[Tensor, Tensor]:
    """Find a local optimum of each cell's posterior.

    A step minimises a :class:`HiddenModel`, and the likelihood is evaluated once at its minimum.
    A step that would raise the loss is repeated with more damping. Modules without wide
    modalities need no model.

    Parameters
    ----------
    module, curvature
        A module whose parameters need no gradient, and its curvature.
    start
        Starting points, shape ``(n, d)``.
    batch
        A minibatch of n cells.
    at_once
        Maximum number of cells to decode at once.
    tolerance
        Expected gain of the next step, in nats, below which a cell is finished.
    max_steps
        Maximum number of evaluations of a cell's likelihood after the first.
    surrogate
        Module with surrogate likelihoods of the narrow modalities. The first step is then the
        better one of two: its model is minimised from the start, and from the minimum of the
        surrogate's model.

    Returns
    -------
    Optima, shape ``(n, d)``, and their losses (nats), shape ``(n,)``.
    """
    wide = wide_modalities(module)
    if not wide:
        return _minimise_posterior(module, curvature, start, batch, at_once, tolerance, max_steps)
    w, active = start.clone(), torch.arange(len(start), device=start.device)
    expansion = _expand(module, batch, active, w, wide, at_once)
    model = HiddenModel(module, curvature, batch, expansion)
    rest, _ = model(active, w)
    inverse = _inverse_curvature(curvature, batch, active, w, at_once)
    inner = _MODEL_TOLERANCE * tolerance
    for step in range(max_steps):
        found = _minimum(model, active, w[active], inverse, inner)
        if surrogate is not None and step == 0:
            other = HiddenModel(surrogate, curvature, batch, expansion)
            between, _, _ = _minimum(other, active, w, inverse, inner)
            second = _minimum(model, active, between, inverse, inner)
            found = _lower(found, second)
        new_w, new_loss, inverse = found
        predicted = rest[active] - new_loss
        chosen = predicted > tolerance
        if not chosen.any():
            break
        active, inverse, predicted = active[chosen], inverse[chosen], predicted[chosen]
        new_w, new_loss = new_w[chosen], new_loss[chosen]
        new = _expand(module, batch, active, new_w, wide, at_once)
        # The prior and the narrow modalities are exact in the model.
        new_rest = new_loss - model.of_wide(active, new.hidden)
        gain = expansion.loss[active] - new.loss + rest[active] - new_rest
        noise = 8 * torch.finfo(w.dtype).eps * new.loss.abs()
        accept = (gain >= _SUFFICIENT_DECREASE * predicted - noise).nonzero().squeeze(-1)
        moved = active[accept]
        w[moved], rest[moved] = new_w[accept], new_rest[accept]
        expansion.put(moved, new, accept)
        model.damping[active] = _next_damping(model.damping[active], gain / predicted)
    return w, expansion.loss + rest


def _minimum(
    model: HiddenModel, cells: Tensor, start: Tensor, inverse: Tensor, tolerance: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Minimum of the model of the given cells, its value, and the inverse Hessian there."""
    return minimize(
        lambda rows, w: model(cells[rows], w),
        start,
        inverse,
        tolerance=tolerance,
        max_steps=_MODEL_STEPS,
    )


def _lower(
    one: tuple[Tensor, Tensor, Tensor], other: tuple[Tensor, Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """Of two minima of each cell, the one with the lower value."""
    is_lower = other[1] < one[1]
    w = torch.where(is_lower[:, None], other[0], one[0])
    inverse = torch.where(is_lower[:, None, None], other[2], one[2])
    return w, torch.where(is_lower, other[1], one[1]), inverse


def _next_damping(damping: Tensor, share: Tensor) -> Tensor:
    """Damping of the next step, given the gain as a share of the predicted one."""
    raised = torch.where(share > _POOR, damping, 2 * damping)
    return torch.where(share > _GOOD, (damping / 2).clamp(min=1), raised)


def _expand(
    module: MultiDGDModule,
    batch: dict[str, Any],
    cells: Tensor,
    w: Tensor,
    wide: list[str],
    at_once: int,
) -> Expansion:
    """Expansion of the given cells of a minibatch at the given representations."""

    def expand_part(part: dict[str, Any], w_bd: Tensor) -> Expansion:
        return expand(module, part, w_bd, wide)

    return Expansion.concatenate(_in_parts(expand_part, batch, cells, w, at_once))


def _inverse_curvature(
    curvature: Curvature, batch: dict[str, Any], cells: Tensor, w: Tensor, at_once: int
) -> Tensor:
    """Inverse curvature of the given cells, shape ``(n, d, d)``."""
    parts = _in_parts(curvature, batch, cells, w, at_once)
    return torch.cat([torch.linalg.inv(x) for x in parts])


def _in_parts(
    function: Callable[..., Any], batch: dict[str, Any], cells: Tensor, w: Tensor, at_once: int
) -> list[Any]:
    pairs = zip(cells.split(at_once), w.split(at_once), strict=True)
    return [function(take_cells(batch, block), w_bd) for block, w_bd in pairs]


def _minimise_posterior(
    module: MultiDGDModule,
    curvature: Curvature,
    start: Tensor,
    batch: dict[str, Any],
    at_once: int,
    tolerance: float,
    max_steps: int,
) -> tuple[Tensor, Tensor]:
    """Minimise the negative log posterior itself by BFGS."""

    def objective(rows: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        parts = _in_parts(partial(cell_losses, module), batch, rows, w, at_once)
        losses, gradients = zip(*parts, strict=True)
        return torch.cat(losses), torch.cat(gradients)

    rows = torch.arange(len(start), device=start.device)
    inverse = _inverse_curvature(curvature, batch, rows, start, at_once)
    w, loss, _ = minimize(objective, start, inverse, tolerance=tolerance, max_steps=max_steps)
    return w, loss
