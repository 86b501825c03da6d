"""Most probable shift of a normal vector, given the changes of functions of it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from multiDGD._newton import minimize

# Standard deviation of the constraint, in nats. A soft constraint avoids extreme shifts if the
# functions can hardly change.
_CONSTRAINT_SD = 0.05
# Tolerance in nats; maximum number of evaluations.
_TOLERANCE, _MAX_STEPS = 1e-3, 30


def conditional_shift(
    functions: Callable[[Tensor | slice, Tensor], tuple[Tensor, Tensor]],
    start_nl: Tensor,
    change_q: Tensor,
    covariance_ll: Tensor,
) -> Tensor:
    r"""Shift points such that functions of them change by a given amount.

    For each point :math:`z_0` independently, minimise

    .. math::
        (z - z_0)^\top C^{-1} (z - z_0) + \|\eta(z) - \eta(z_0) - \delta\|^2 / \sigma^2

    with :math:`\sigma = 0.05`. The minimum is the most probable shift under
    :math:`z \sim N(z_0, C)` that changes :math:`\eta` by :math:`\delta`.

    Parameters
    ----------
    functions
        :math:`\eta`. It takes indices of points and their values, shape ``(n, l)``. It returns q
        functions of each point, shape ``(n, q)``, and their derivatives, shape ``(n, q, l)``.
    start_nl
        :math:`z_0`, shape ``(n, l)``.
    change_q
        :math:`\delta`, shape ``(q,)``.
    covariance_ll
        C, shape ``(l, l)``.

    Returns
    -------
    The shifted points, shape ``(n, l)``.
    """
    eta0_nq, jacobian_nql = functions(slice(None), start_nl)
    precision = torch.linalg.inv(covariance_ll)

    def objective(indices: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        eta, slopes = functions(indices, z)
        residual = (eta - eta0_nq[indices] - change_q) / _CONSTRAINT_SD**2
        shift = z - start_nl[indices]
        gradient = shift @ precision
        value = 0.5 * ((shift * gradient).sum(1) + _CONSTRAINT_SD**2 * residual.square().sum(1))
        return value, gradient + (residual[:, None] @ slopes).squeeze(1)

    c_j = covariance_ll @ jacobian_nql.mT
    constraint = _CONSTRAINT_SD**2 * torch.eye(len(change_q)).to(start_nl)
    inverse = covariance_ll - c_j @ torch.linalg.solve(jacobian_nql @ c_j + constraint, c_j.mT)
    inverse = (inverse + inverse.mT) / 2
    z, _, _ = minimize(objective, start_nl, inverse, tolerance=_TOLERANCE, max_steps=_MAX_STEPS)
    return z
