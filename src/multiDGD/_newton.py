"""Many small problems minimised side by side by a quasi-Newton method."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# A step must bring this share of what its slope promises (Armijo).
_SUFFICIENT = 1e-4
# A rejected step is shortened at least and at most by these factors.
_SHORTEST, _LONGEST = 0.1, 0.5


@torch.no_grad()
def minimize(
    objective: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    start_nd: Tensor,
    inverse_ndd: Tensor,
    *,
    tolerance: float,
    max_steps: int,
) -> tuple[Tensor, Tensor]:
    r"""Minimise n functions of d variables, each on its own, by BFGS.

    A problem leaves as soon as its next step promises to lower its value by less than
    ``tolerance``, :math:`\frac12 g^\top H g` with the gradient g and the inverse Hessian H. No step
    raises a value: one that would is shortened (by the parabola through what is known of it) and
    tried again. What happens to a problem does not depend on the others.

    Parameters
    ----------
    objective
        Called with the positions of some problems, shape ``(b,)``, and a point for each,
        ``(b, d)``; returns values ``(b,)`` and gradients ``(b, d)``. It need not be smooth
        everywhere.
    start_nd
        Where to start, shape ``(n, d)``.
    inverse_ndd
        Inverse Hessians to start with, positive definite, shape ``(n, d, d)``.
    tolerance
        In units of the objective. What floating point cannot tell apart is added to it.
    max_steps
        Largest number of evaluations after the first.

    Returns
    -------
    Points, shape ``(n, d)``, and their values, shape ``(n,)``.

    Examples
    --------
    >>> import torch
    >>> from multiDGD.train._newton import minimize
    >>> centre = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> def bowl(rows, x):
    ...     return (x - centre[rows]).square().sum(1), 2 * (x - centre[rows])
    >>> x, value = minimize(
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

        promised = length[active] * slope[active]
        rise = new_value - value[active]
        good = rise <= _SUFFICIENT * promised + noise[active]
        moved, held = active[good], active[~good]
        inverse[moved] = _updated(inverse[moved], step[good], new_gradient[good] - gradient[moved])
        x[moved] += step[good]
        value[moved], gradient[moved] = new_value[good], new_gradient[good]
        direction[moved] = _times(inverse[moved], -gradient[moved])
        length[moved] = 1.0
        length[held] *= _shortened(promised[~good], rise[~good])
    return x, value


def _times(matrix_ndd: Tensor, vector_nd: Tensor) -> Tensor:
    return (matrix_ndd @ vector_nd[..., None]).squeeze(-1)


def _shortened(promised: Tensor, rise: Tensor) -> Tensor:
    """Where the parabola with this slope and this rise at 1 is lowest; not finite: far too long."""
    lowest = -promised / (2 * (rise - promised))
    return torch.where(rise.isfinite(), lowest, _SHORTEST).clamp(_SHORTEST, _LONGEST)


def _updated(inverse_ndd: Tensor, step_nd: Tensor, change_nd: Tensor) -> Tensor:
    """The inverse Hessians after the gradient changed by so much over the step (BFGS)."""
    curvature = (step_nd * change_nd).sum(1)
    # Without upward curvature along the step (a kink, or rounding) nothing is learned from it.
    known = curvature > 1e-6 * step_nd.norm(dim=1) * change_nd.norm(dim=1)
    rho = torch.where(known, 1 / curvature, 0.0)[:, None]
    moved = _times(inverse_ndd, change_nd)
    scale = rho + rho.square() * (change_nd * moved).sum(1, keepdim=True)
    cross = (rho * moved)[:, :, None] * step_nd[:, None, :]
    square = (scale * step_nd)[:, :, None] * step_nd[:, None, :]
    return inverse_ndd + square - cross - cross.mT
