"""Most probable shift of a normal vector, given the changes of functions of it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from multiDGD._newton import minimize

# Standard deviation of the constraint, in nats. A soft constraint avoids extreme shifts if the
# functions can hardly change.
_CONSTRAINT_SD = 0.05
# Tolerance in nats; maximum numbers of Gauss-Newton and of BFGS steps.
_TOLERANCE, _MAX_STEPS, _MAX_BFGS_STEPS = 1e-3, 12, 30
# Required share of the decrease that the slope predicts (Armijo condition). A point at which a
# step of this length is too long is at a kink.
_SUFFICIENT_DECREASE, _MIN_LENGTH = 1e-4, 2.0**-5


@torch.no_grad()
def conditional_shift(
    functions: Callable[[Tensor | slice, Tensor], tuple[Tensor, Tensor]],
    start_nl: Tensor,
    change: Tensor,
    covariance_ll: Tensor,
    first_nl: Tensor | None = None,
) -> Tensor:
    r"""Shift points such that functions of them change by a given amount.

    For each point :math:`z_0` independently, minimise

    .. math::
        (z - z_0)^\top C^{-1} (z - z_0) + \|\eta(z) - \eta(z_0) - \delta\|^2 / \sigma^2

    with :math:`\sigma = 0.05`, by Gauss-Newton steps and, where they are slow, by BFGS. The
    minimum is the most probable shift under
    :math:`z \sim N(z_0, C)` that changes :math:`\eta` by :math:`\delta`.

    Parameters
    ----------
    functions
        :math:`\eta`. It takes indices of points and their values, shape ``(n, l)``. It returns q
        functions of each point, shape ``(n, q)``, and their derivatives, shape ``(n, q, l)``.
    start_nl
        :math:`z_0`, shape ``(n, l)``.
    change
        :math:`\delta`, shape ``(q,)``, or ``(n, q)`` if it differs between points.
    covariance_ll
        C, shape ``(l, l)``.
    first_nl
        Points at which the steps start, such as those for similar functions, shape ``(n, l)``;
        :math:`z_0` by default.

    Returns
    -------
    The shifted points, shape ``(n, l)``.
    """
    eta0_nq, slopes_nql = functions(slice(None), start_nl)
    target_nq = eta0_nq + change
    precision_ll = torch.linalg.inv(covariance_ll)

    def value(points: Tensor, shift: Tensor, eta: Tensor) -> Tensor:
        residual = (eta - target_nq[points]) / _CONSTRAINT_SD
        return 0.5 * (((shift @ precision_ll) * shift).sum(1) + residual.square().sum(1))

    active = torch.arange(len(start_nl), device=start_nl.device)
    shift_nl, eta_nq = torch.zeros_like(start_nl), eta0_nq
    if first_nl is not None:
        shift_nl = first_nl - start_nl
        eta_nq, slopes_nql = functions(slice(None), first_nl)
    value_n = value(active, shift_nl, eta_nq)
    length_n = torch.ones_like(value_n)
    for _ in range(_MAX_STEPS):
        slopes = slopes_nql[active]
        step = _gauss_newton_step(
            shift_nl[active], target_nq[active] - eta_nq[active], slopes, covariance_ll
        )
        # Twice the decrease that the linear approximation predicts.
        change_nq = (slopes @ step[:, :, None]).squeeze(2) / _CONSTRAINT_SD
        slope = -((step @ precision_ll) * step).sum(1) - change_nq.square().sum(1)
        noise = 8 * torch.finfo(slope.dtype).eps * value_n[active].abs()
        length = length_n[active]
        going = (-0.5 * length * slope > _TOLERANCE + noise) & (length >= _MIN_LENGTH)
        active, step, slope, length = active[going], step[going], slope[going], length[going]
        if not len(active):
            break
        new_shift = shift_nl[active] + length[:, None] * step
        new_eta, new_slopes = functions(active, start_nl[active] + new_shift)
        new_value = value(active, new_shift, new_eta)
        rise = new_value - value_n[active]
        accept = rise <= _SUFFICIENT_DECREASE * length * slope + noise[going]
        moved = active[accept]
        shift_nl[moved], eta_nq[moved] = new_shift[accept], new_eta[accept]
        slopes_nql[moved], value_n[moved] = new_slopes[accept], new_value[accept]
        length_n[moved] = 1.0
        length_n[active[~accept]] *= 0.5
    slow = torch.cat([active, (length_n < _MIN_LENGTH).nonzero().squeeze(1)]).unique()
    if len(slow):

        def objective(rows: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
            points = slow[rows]
            eta, slopes = functions(points, start_nl[points] + shift)
            residual = (eta - target_nq[points]) / _CONSTRAINT_SD**2
            gradient = shift @ precision_ll + (residual[:, None] @ slopes).squeeze(1)
            return value(points, shift, eta), gradient

        inverse = _inverse_curvature(slopes_nql[slow], covariance_ll)
        shift_nl[slow], _, _ = minimize(
            objective, shift_nl[slow], inverse, tolerance=_TOLERANCE, max_steps=_MAX_BFGS_STEPS
        )
    return start_nl + shift_nl


def _gauss_newton_step(
    shift_nl: Tensor, residual_nq: Tensor, slopes_nql: Tensor, covariance_ll: Tensor
) -> Tensor:
    """Step to the minimum if functions were linear, shape ``(n, l)``."""
    variance_nlq = covariance_ll @ slopes_nql.mT
    q = residual_nq.shape[1]
    constraint_qq = _CONSTRAINT_SD**2 * torch.eye(q).to(residual_nq)
    change_nq = residual_nq + (slopes_nql @ shift_nl[:, :, None]).squeeze(2)
    weights_nq1 = torch.linalg.solve(
        slopes_nql @ variance_nlq + constraint_qq, change_nq[..., None]
    )
    return (variance_nlq @ weights_nq1).squeeze(2) - shift_nl


def _inverse_curvature(slopes_nql: Tensor, covariance_ll: Tensor) -> Tensor:
    """Inverse Hessian of the objective if functions were linear, shape ``(n, l, l)``."""
    variance_nlq = covariance_ll @ slopes_nql.mT
    constraint_qq = _CONSTRAINT_SD**2 * torch.eye(slopes_nql.shape[1]).to(slopes_nql)
    weights = torch.linalg.solve(slopes_nql @ variance_nlq + constraint_qq, variance_nlq.mT)
    inverse = covariance_ll - variance_nlq @ weights
    return (inverse + inverse.mT) / 2
