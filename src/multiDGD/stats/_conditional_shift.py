"""The most probable change of a normal vector that changes given functions of it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from multiDGD._newton import minimize

# Standard deviation of the constraint, in nats. A soft constraint does not force a change that the
# functions can hardly make.
_SLACK = 0.05
# In nats, and evaluations.
_TOLERANCE, _MAX_STEPS = 1e-3, 30


def conditional_shift(
    functions: Callable[[Tensor | slice, Tensor], tuple[Tensor, Tensor]],
    start_nl: Tensor,
    change_q: Tensor,
    covariance_ll: Tensor,
) -> Tensor:
    r"""Move points such that functions of them change by a given amount.

    Minimises, for each point :math:`z_0` by itself,

    .. math::
        (z - z_0)^\top C^{-1} (z - z_0) + \|\eta(z) - \eta(z_0) - \delta\|^2 / \sigma^2

    with :math:`\sigma = 0.05`: the most probable move under :math:`z \sim N(z_0, C)` that changes
    :math:`\eta` by :math:`\delta`.

    Parameters
    ----------
    functions
        :math:`\eta`. Takes the indices of some points and their values, shape ``(n, l)``; returns
        q functions of each, shape ``(n, q)``, and their derivatives, shape ``(n, q, l)``.
    start_nl
        :math:`z_0`, shape ``(n, l)``.
    change_q
        :math:`\delta`, shape ``(q,)``.
    covariance_ll
        C, shape ``(l, l)``.

    Returns
    -------
    Shape ``(n, l)``.
    """
    eta0_nq, jacobian_nql = functions(slice(None), start_nl)
    precision = torch.linalg.inv(covariance_ll)

    def objective(rows: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        eta, slopes = functions(rows, z)
        missed = (eta - eta0_nq[rows] - change_q) / _SLACK**2
        moved = z - start_nl[rows]
        pull = moved @ precision
        value = 0.5 * ((moved * pull).sum(1) + _SLACK**2 * missed.square().sum(1))
        return value, pull + (missed[:, None] @ slopes).squeeze(1)

    c_j = covariance_ll @ jacobian_nql.mT
    slack = _SLACK**2 * torch.eye(len(change_q)).to(start_nl)
    inverse = covariance_ll - c_j @ torch.linalg.solve(jacobian_nql @ c_j + slack, c_j.mT)
    inverse = (inverse + inverse.mT) / 2
    z, _ = minimize(objective, start_nl, inverse, tolerance=_TOLERANCE, max_steps=_MAX_STEPS)
    return z
