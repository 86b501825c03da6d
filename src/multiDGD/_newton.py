"""Joint quasi-Newton minimisation of many small independent problems."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# Required share of the decrease that the slope predicts (Armijo condition).
_SUFFICIENT_DECREASE = 1e-4
# Bounds on the factor by which a rejected step is shortened.
_MIN_FACTOR, _MAX_FACTOR = 0.1, 0.5


@torch.no_grad()
def minimize(
    objective: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    start_nd: Tensor,
    inverse_ndd: Tensor,
    *,
    tolerance: float,
    max_steps: int,
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Minimise n independent functions of d variables by BFGS.

    A problem is finished as soon as the expected decrease of its next step is less than
    ``tolerance``. This decrease is :math:`\frac12 g^\top H g`, with the gradient g and the inverse
    Hessian H. No step raises a value: a step that would is shortened by parabolic interpolation
    and repeated. The result of a problem does not depend on the other problems.

    Parameters
    ----------
    objective
        Called with the indices of b problems, shape ``(b,)``, and a point for each, ``(b, d)``.
        Returns values ``(b,)`` and gradients ``(b, d)``. It need not be smooth everywhere.
    start_nd
        Starting points, shape ``(n, d)``.
    inverse_ndd
        Initial inverse Hessians, positive definite, shape ``(n, d, d)``.
    tolerance
        Expected decrease below which a problem is finished, in units of the objective. The
        rounding error of the value is added to it.
    max_steps
        Maximum number of evaluations after the first.

    Returns
    -------
    Points, shape ``(n, d)``, their values, shape ``(n,)``, and the last inverse Hessians, shape
    ``(n, d, d)``.

    Examples
    --------
    >>> import torch
    >>> from multiDGD._newton import minimize
    >>> centre = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> def bowl(rows, x):
    ...     return (x - centre[rows]).square().sum(1), 2 * (x - centre[rows])
    >>> x, value, inverse = minimize(
    ...     bowl, torch.zeros(2, 2), torch.eye(2).expand(2, 2, 2), tolerance=1e-6, max_steps=20
    ... )
    >>> torch.allclose(x, centre, atol=1e-3)
    True
    """
    x, inverse = start_nd.clone(), inverse_ndd.clone()
    value, gradient = objective(torch.arange(len(x), device=x.device), x)
    direction = _times(inverse, -gradient)
    length = torch.ones_like(value)
    for _ in range(max_steps):
        slope = (gradient * direction).sum(1)
        noise = 8 * torch.finfo(x.dtype).eps * value.abs()
        active = (-0.5 * length * slope > tolerance + noise).nonzero().squeeze(-1)
        if not len(active):
            break
        step = length[active, None] * direction[active]
        new_value, new_gradient = objective(active, x[active] + step)

        predicted = length[active] * slope[active]
        rise = new_value - value[active]
        accept = rise <= _SUFFICIENT_DECREASE * predicted + noise[active]
        moved, rejected = active[accept], active[~accept]
        change = new_gradient[accept] - gradient[moved]
        inverse[moved] = _bfgs_update(inverse[moved], step[accept], change)
        x[moved] += step[accept]
        value[moved], gradient[moved] = new_value[accept], new_gradient[accept]
        direction[moved] = _times(inverse[moved], -gradient[moved])
        length[moved] = 1.0
        length[rejected] *= _shortening(predicted[~accept], rise[~accept])
    return x, value, inverse


def _times(matrix_ndd: Tensor, vector_nd: Tensor) -> Tensor:
    return (matrix_ndd @ vector_nd[..., None]).squeeze(-1)


def _shortening(slope: Tensor, rise: Tensor) -> Tensor:
    """Minimum of the parabola with this slope at 0 and this rise at 1, within the bounds."""
    minimum = -slope / (2 * (rise - slope))
    return torch.where(rise.isfinite(), minimum, _MIN_FACTOR).clamp(_MIN_FACTOR, _MAX_FACTOR)


def _bfgs_update(inverse_ndd: Tensor, step_nd: Tensor, change_nd: Tensor) -> Tensor:
    """BFGS update of inverse Hessians, given a step and the change of the gradient."""
    curvature = (step_nd * change_nd).sum(1)
    # Skip the update without positive curvature along the step, at kinks or due to rounding.
    is_positive = curvature > 1e-6 * step_nd.norm(dim=1) * change_nd.norm(dim=1)
    rho = torch.where(is_positive, 1 / curvature, 0.0)[:, None]
    moved = _times(inverse_ndd, change_nd)
    scale = rho + rho.square() * (change_nd * moved).sum(1, keepdim=True)
    cross = (rho * moved)[:, :, None] * step_nd[:, None, :]
    square = (scale * step_nd)[:, :, None] * step_nd[:, None, :]
    return inverse_ndd + square - cross - cross.mT
