"""Coefficient of the negative binomial, accurate for any dispersion."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# From here on, Stirling's series as truncated below is accurate to 1e-11.
_LARGE = 16.0


def log_nb_coefficient(x: Tensor, r: Tensor) -> Tensor:
    r"""``log [Gamma(x + r) / (Gamma(r) x!)]``, differentiable with respect to r.

    If a feature is not overdispersed, its r grows without bound, and so does ``lgamma(r)``: at
    r = 1e6, its error in float32 is a whole nat. The two larger terms nearly cancel, and
    Stirling's series gives their small difference directly.

    Parameters
    ----------
    x
        Counts, shape ``(..., nnz)``.
    r
        Dispersions, above 0, of the shape of the result.

    Examples
    --------
    >>> import torch
    >>> from multiDGD.nn.likelihoods._nb_coefficient import log_nb_coefficient
    >>> log_nb_coefficient(torch.tensor([2.0]), torch.tensor([3.0])).exp()  # 3 * 4 / 2
    tensor([6.])
    """
    return _LogNBCoefficient.apply(x, r)


def nb_coefficient_slope(x: Tensor, r: Tensor) -> Tensor:
    """Derivative of :func:`log_nb_coefficient` with respect to r.

    It equals ``digamma(x + r) - digamma(r)``.

    Parameters
    ----------
    x, r
        As for :func:`log_nb_coefficient`.
    """
    z = r.clamp(min=_LARGE)
    difference = torch.log1p(x / z) + 0.5 * x / (z * (x + z))
    difference = difference + _digamma_remainder(z) - _digamma_remainder(x + z)
    return torch.where(r < _LARGE, torch.digamma(x + r) - torch.digamma(r), difference)


class NBCoefficientTable:
    r"""``log [Gamma(x + r) / (Gamma(r) x!)]`` and its derivative with respect to r, tabulated.

    Most counts are 1, 2 or 3, for which the coefficient is
    :math:`r (r + 1) \cdots (r + x - 1) / x!`. A table over features costs a fraction of gamma
    functions at all counts.

    Parameters
    ----------
    r_f
        Dispersion of each feature, shape ``(f,)``.
    """

    N_TABLE = 4

    def __init__(self, r_f: Tensor) -> None:
        self.r_f = r_f
        steps = torch.arange(self.N_TABLE, device=r_f.device, dtype=r_f.dtype)[:, None]
        factors_xf = r_f + steps
        self._log = (factors_xf / (steps + 1)).log_().cumsum(0).view(-1)
        self._by_r = factors_xf.reciprocal_().cumsum(0).view(-1)

    def __call__(self, values: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logarithm and its derivative, shape ``(nnz,)`` each.

        Parameters
        ----------
        values, columns
            Counts and their features, shape ``(nnz,)`` each.
        """
        x = values.long()
        entry = (x - 1).clamp_(0, self.N_TABLE - 1).mul_(len(self.r_f)).add_(columns)
        value, by_r = self._log[entry], self._by_r[entry]
        others = ((x != values) | (x > self.N_TABLE) | (x < 1)).nonzero().squeeze(1)
        x, r = values[others], self.r_f[columns[others]]
        value[others], by_r[others] = log_nb_coefficient(x, r), nb_coefficient_slope(x, r)
        return value, by_r


class _LogNBCoefficient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, r: Tensor) -> Tensor:
        ctx.save_for_backward(x, r)
        # The coefficient is symmetric in r and x + 1: only the smaller needs `lgamma` by itself.
        larger, smaller = torch.maximum(r, x + 1), torch.minimum(r, x + 1)
        z, d = larger.clamp(min=_LARGE), smaller - 1
        difference = (z - 0.5) * torch.log1p(d / z) + d * (torch.log(z + d) - 1)
        difference += _stirling_remainder(z + d) - _stirling_remainder(z)
        direct = torch.lgamma(larger + d) - torch.lgamma(larger)
        return torch.where(larger < _LARGE, direct, difference) - torch.lgamma(smaller)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weight: Tensor) -> tuple[None, Tensor]:
        return None, weight * nb_coefficient_slope(*ctx.saved_tensors)


def _stirling_remainder(z: Tensor) -> Tensor:
    """Difference between ``log Gamma(z)`` and Stirling's formula."""
    w = 1 / (z * z)
    return (1 / 12 - w * (1 / 360 - w / 1260)) / z


def _digamma_remainder(z: Tensor) -> Tensor:
    """``log(z) - 1 / (2 z) - digamma(z)``."""
    w = 1 / (z * z)
    return w * (1 / 12 - w * (1 / 120 - w / 252))
