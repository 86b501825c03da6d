"""What the sparse log-likelihood asks of a distribution, for a few rows at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from ._blocks import evaluate_in_blocks
from ._rows import Rows

if TYPE_CHECKING:
    from ._base import Likelihood


class Terms:
    r"""The zeros' and the non-zeros' terms and their derivatives, by autograd.

    Works for any likelihood. One may return a subclass with closed forms from
    :meth:`Likelihood.terms`; those write into the memory they are given, since allocating a block
    costs more than the arithmetic on it.

    Derivatives by the log means are of the plain sum over features; those by the likelihood's
    parameters are weighted by cell and added up over all calls.

    Parameters
    ----------
    likelihood
        The likelihood; what depends on its parameters alone is computed here, once.
    learned
        Whether derivatives by the parameters are wanted.

    Attributes
    ----------
    scale_f
        Means come divided by it, as ``ratio``, shape ``(f,)``, at least float32; `None` for 1.
    """

    scale_f: Tensor | None = None

    def __init__(self, likelihood: Likelihood, learned: bool) -> None:
        self.likelihood = likelihood
        self.learned = learned
        self._sums = [torch.zeros_like(p) for p in likelihood.parameters()]

    def to(self, dtype: torch.dtype) -> Self:
        """Compute in this precision, which need not be that of the likelihood's parameters.

        Parameters
        ----------
        dtype
            At least float32.
        """
        if self.scale_f is not None:
            self.scale_f = self.scale_f.to(dtype)
        return self

    def evaluate(self, rows: Rows) -> None:
        """Fill what is wanted of a minibatch, by the other methods.

        Parameters
        ----------
        rows
            The minibatch.
        """
        evaluate_in_blocks(self, rows)

    def zeros(self, ratio_kf: Tensor, weight_k: Tensor, scratch: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probability as if every count were zero.

        Parameters
        ----------
        ratio_kf
            Mean counts divided by ``scale_f``, shape ``(k, f)``.
        weight_k
            Weight of each cell in the derivatives by parameters, shape ``(k,)``.
        scratch
            Memory of shape ``(2, k, f)``, to be used freely.

        Returns
        -------
        The sum over features (nats), shape ``(k,)``, and its derivative by the log means, divided
        by ``-scale_f``, shape ``(k, f)``.
        """
        if torch.is_inference_mode_enabled():  # where nobody can ask for derivatives
            return self.likelihood.log_prob_zero(ratio_kf).sum(1), ratio_kf
        with torch.enable_grad():
            mean = ratio_kf.detach().requires_grad_()
            value_k = self.likelihood.log_prob_zero(mean).sum(1)
            (by_mean,) = torch.autograd.grad(value_k.sum(), mean, retain_graph=True)
        if self.learned:
            self._add(value_k, weight_k)
        return value_k.detach(), by_mean * -ratio_kf

    def slope(self, values: Tensor, log_ratio: Tensor, columns: Tensor) -> Tensor:
        """Derivative by the log mean of ``log p(count) - log p(0)``, shape ``(nnz,)``.

        Parameters
        ----------
        values, columns
            Counts and their features, shape ``(nnz,)`` each.
        log_ratio
            Logarithm of their means divided by ``scale_f``, shape ``(nnz,)``.
        """
        with torch.enable_grad():
            log_ratio = log_ratio.detach().requires_grad_()
            total = self._log_ratio_to_zero(values, log_ratio, columns).sum()
        return torch.autograd.grad(total, log_ratio)[0]

    def nonzeros(
        self, values: Tensor, log_ratio: Tensor, columns: Tensor, weight: Tensor
    ) -> Tensor:
        """``log p(count) - log p(0)`` (nats), shape ``(nnz,)``.

        Parameters
        ----------
        values, log_ratio, columns
            As for :meth:`slope`.
        weight
            Weight of each one's cell, shape ``(nnz,)``.
        """
        with torch.set_grad_enabled(self.learned):
            value = self._log_ratio_to_zero(values, log_ratio, columns)
        if self.learned:
            self._add(value, weight)
        return value.detach()

    def _log_ratio_to_zero(self, values: Tensor, log_ratio: Tensor, columns: Tensor) -> Tensor:
        log_mean = log_ratio
        if self.scale_f is not None:
            log_mean = log_mean + self.scale_f.log()[columns]
        return self.likelihood.log_ratio_to_zero(values, log_mean, columns)

    def _add(self, value: Tensor, weight: Tensor) -> None:
        parameters = tuple(self.likelihood.parameters())
        if parameters and value.requires_grad:
            found = torch.autograd.grad(value, parameters, weight, materialize_grads=True)
            self._sums = [a + b for a, b in zip(self._sums, found, strict=True)]

    def parameter_gradients(self) -> list[Tensor]:
        """Weighted derivatives by each of the likelihood's parameters, over all calls so far."""
        return self._sums
