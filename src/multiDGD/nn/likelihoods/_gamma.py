"""Quotients of gamma functions, where a difference of their logarithms would lose all digits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# From here on Stirling's series, as far as it is written out below, is right to 1e-11.
_LARGE = 16.0


def log_rising(x: Tensor, r: Tensor) -> Tensor:
    r"""``log [Gamma(x + r) / (Gamma(r) x!)]``, differentiable by r.

    The dispersion of a feature that scatters like a Poisson count grows without end, and its
    ``lgamma`` with it: at r = 1e6 that is right to a whole nat in float32. What remains of the two
    larger terms is small, and is taken by Stirling's series for their difference.

    Parameters
    ----------
    x
        Counts, shape ``(..., nnz)``.
    r
        Dispersions, above 0, of the shape of the result.

    Examples
    --------
    >>> import torch
    >>> from multiDGD.nn.likelihoods._gamma import log_rising
    >>> log_rising(torch.tensor([2.0]), torch.tensor([3.0])).exp()  # 3 * 4 / 2
    tensor([6.])
    """
    return _LogRising.apply(x, r)


def rising_slope(x: Tensor, r: Tensor) -> Tensor:
    """Derivative of :func:`log_rising` by r, ``digamma(x + r) - digamma(r)``.

    Parameters
    ----------
    x, r
        As there.
    """
    z = r.clamp(min=_LARGE)
    difference = torch.log1p(x / z) + 0.5 * x / (z * (x + z)) + _slope_rest(z) - _slope_rest(x + z)
    return torch.where(r < _LARGE, torch.digamma(x + r) - torch.digamma(r), difference)


class _LogRising(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, r: Tensor) -> Tensor:
        ctx.save_for_backward(x, r)
        # The quotient is symmetric in r and x + 1: only the smaller has to stand alone.
        larger, smaller = torch.maximum(r, x + 1), torch.minimum(r, x + 1)
        z, d = larger.clamp(min=_LARGE), smaller - 1
        difference = (z - 0.5) * torch.log1p(d / z) + d * (torch.log(z + d) - 1)
        difference += _log_rest(z + d) - _log_rest(z)
        direct = torch.lgamma(larger + d) - torch.lgamma(larger)
        return torch.where(larger < _LARGE, direct, difference) - torch.lgamma(smaller)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weight: Tensor) -> tuple[None, Tensor]:
        return None, weight * rising_slope(*ctx.saved_tensors)


def _log_rest(z: Tensor) -> Tensor:
    """What Stirling's formula lacks of ``log Gamma(z)``."""
    w = 1 / (z * z)
    return (1 / 12 - w * (1 / 360 - w / 1260)) / z


def _slope_rest(z: Tensor) -> Tensor:
    """``log(z) - 1 / (2 z) - digamma(z)``."""
    w = 1 / (z * z)
    return w * (1 / 12 - w * (1 / 120 - w / 252))
