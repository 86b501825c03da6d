"""The part of a likelihood that treats every count as a zero, for blocks of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from ._base import Likelihood


class ZeroPart:
    """Log-probability of zeros and its derivatives, by autograd.

    Works for any likelihood. A likelihood may return a subclass with closed forms from
    :meth:`Likelihood.zero_part`; those overwrite the memory they are given, since allocating a
    block costs more than the arithmetic on it.

    Parameters
    ----------
    likelihood
        The likelihood; what depends on its parameters alone is computed here, once.
    """

    def __init__(self, likelihood: Likelihood) -> None:
        self.likelihood = likelihood
        self._sums = [torch.zeros_like(p) for p in likelihood.parameters()]

    def total(self, mean_nf: Tensor) -> Tensor:
        """Log-probability of zeros, summed over features (nats), shape ``(n,)``.

        Parameters
        ----------
        mean_nf
            Mean counts, shape ``(n, f)``; may be overwritten.
        """
        with torch.no_grad():
            return self.likelihood.log_prob_zero(mean_nf).sum(1)

    def gradient(
        self, mean_nf: Tensor, weight_n: Tensor, scratch_nf: Tensor, with_parameters: bool
    ) -> Tensor:
        """Derivative of the cells' weighted totals by the log means, shape ``(n, f)``.

        Parameters
        ----------
        mean_nf
            Mean counts, shape ``(n, f)``; may be overwritten.
        weight_n
            Weight of each cell, shape ``(n,)``.
        scratch_nf
            Memory of the same shape, to be used freely.
        with_parameters
            Whether to add up derivatives by the likelihood's parameters too, for
            :meth:`parameter_gradients`.
        """
        with torch.enable_grad():
            mean = mean_nf.detach().requires_grad_()
            total = weight_n @ self.likelihood.log_prob_zero(mean).sum(1)
            wanted = (mean, *self.likelihood.parameters()) if with_parameters else (mean,)
            by_mean, *others = torch.autograd.grad(total, wanted, materialize_grads=True)
        if with_parameters:
            self._sums = [a + b for a, b in zip(self._sums, others, strict=True)]
        return by_mean * mean_nf

    def parameter_gradients(self) -> list[Tensor]:
        """Derivatives by each of the likelihood's parameters, over all blocks so far."""
        return self._sums


class PoissonZero(ZeroPart):
    """``-mean``, which is its own derivative by the log mean."""

    def total(self, mean_nf: Tensor) -> Tensor:
        """Minus the sum of the means."""
        return mean_nf.sum(1).neg_()

    def gradient(
        self, mean_nf: Tensor, weight_n: Tensor, scratch_nf: Tensor, with_parameters: bool
    ) -> Tensor:
        """Minus the weighted mean."""
        return mean_nf.mul_(-weight_n[:, None])
