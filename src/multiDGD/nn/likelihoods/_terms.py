"""Terms of the sparse log-likelihood at zeros and non-zeros, with their derivatives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, Self

import torch
from torch import Tensor, nn

from ._blocks import Block, split_into_blocks
from ._minibatch import Minibatch


class CountDistribution(Protocol):
    """Interface that :class:`Terms` requires of a likelihood."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """Learned parameters, as for :class:`torch.nn.Module`."""

    def log_prob_zero(self, mean_nf: Tensor) -> Tensor:
        """Log-probability of zero counts (nats), shape ``(n, f)``; 0 for a mean of 0."""

    def log_ratio_to_zero(self, values: Tensor, log_mean: Tensor, columns: Tensor) -> Tensor:
        """``log p(count) - log p(0)`` (nats), shape ``(nnz,)``."""


class Terms:
    r"""Terms at zeros and non-zeros and their derivatives, by automatic differentiation.

    Works for any likelihood. :meth:`Likelihood.terms` may return a subclass with closed forms.
    Such a subclass writes into the memory it receives, since allocating a block costs more than
    the arithmetic on it.

    Derivatives with respect to the log means are those of the plain sum over features. Derivatives
    with respect to the likelihood's parameters are weighted by cell and summed over all calls.

    Parameters
    ----------
    likelihood
        The likelihood. Values that depend only on its parameters are computed here, once.
    learned
        Whether to compute derivatives with respect to the parameters.

    Attributes
    ----------
    scale_f
        Divisor of the means in all arguments named ``ratio``, shape ``(f,)``, at least float32;
        `None` for 1.
    """

    scale_f: Tensor | None = None

    def __init__(self, likelihood: CountDistribution, learned: bool) -> None:
        self.likelihood = likelihood
        self.learned = learned
        self._sums = [torch.zeros_like(p) for p in likelihood.parameters()]

    def to(self, dtype: torch.dtype) -> Self:
        """Compute in this precision, which may differ from that of the likelihood's parameters.

        Parameters
        ----------
        dtype
            At least float32.
        """
        if self.scale_f is not None:
            self.scale_f = self.scale_f.to(dtype)
        return self

    def evaluate(self, batch: Minibatch) -> None:
        """Fill the buffers of a minibatch, in plain torch on any device and in any precision.

        Each block of cells is taken from logits to gradient while it is in the cache, in memory
        that all blocks share.

        Parameters
        ----------
        batch
            The minibatch.
        """
        log_ratio = torch.empty_like(batch.values)
        for block in split_into_blocks(batch, log_ratio):
            self._evaluate_block(block, batch.shift_f)
        padding = batch.counts.padding
        rows = _filled(batch.counts.rows, padding)
        weight = _filled(batch.weight_n[rows], padding)
        correction = self.nonzeros(batch.values, log_ratio, batch.counts.columns, weight)
        batch.value_n.index_add_(0, rows, _filled(correction, padding))

    def _evaluate_block(self, block: Block, shift_f: Tensor | None) -> None:
        scale_f = self.scale_f
        ratio = block.ratio
        if shift_f is None:
            ratio.copy_(block.logits)
        else:
            torch.add(block.logits, shift_f, out=ratio)
        logit_z = ratio.view(-1)[block.flat_index]
        largest = ratio.amax(1, keepdim=True)
        ratio.sub_(largest).exp_()
        total = ratio.sum(1) if scale_f is None else torch.mv(ratio, scale_f)
        factor = block.library / total
        ratio.mul_(factor[:, None])
        torch.add(logit_z, factor.log_().sub_(largest.squeeze(1))[block.row], out=block.log_ratio)
        if block.padding is not None:  # a cell without counts has a mean of 0
            block.log_ratio.masked_fill_(block.padding, 0)
        value, share = self.zeros(ratio, block.weight, block.scratch)
        block.value.copy_(value)
        if block.gradient is None:
            return

        slope_z = self.slope(block.values, block.log_ratio, block.columns)
        slope_z = _filled(slope_z, block.padding)
        sum_k = share.sum(1) if scale_f is None else torch.mv(share, scale_f)
        sum_k.index_add_(0, block.row, slope_z, alpha=-1)
        # A cell without counts has means of 0, and therefore sums of 0.
        sum_k.div_(block.library.clamp(min=torch.finfo(ratio.dtype).tiny))
        ratio.mul_(sum_k[:, None]).sub_(share)
        same_type = block.gradient.dtype == ratio.dtype
        gradient = block.gradient if same_type else ratio
        if scale_f is not None:
            torch.mul(ratio, scale_f, out=gradient)
        elif same_type:
            gradient.copy_(ratio)
        gradient.view(-1).index_add_(0, block.flat_index, slope_z)
        if not same_type:
            block.gradient.copy_(gradient)

    def zeros(self, ratio_kf: Tensor, weight_k: Tensor, scratch: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probability if every count were zero.

        Parameters
        ----------
        ratio_kf
            Mean counts divided by ``scale_f``, shape ``(k, f)``.
        weight_k
            Weight of each cell in the derivatives with respect to parameters, shape ``(k,)``.
        scratch
            Memory of shape ``(2, k, f)`` that may be overwritten.

        Returns
        -------
        The sum over features (nats), shape ``(k,)``, and its derivative with respect to the log
        means, divided by ``-scale_f``, shape ``(k, f)``.
        """
        if torch.is_inference_mode_enabled():  # automatic differentiation is not available here
            return self.likelihood.log_prob_zero(ratio_kf).sum(1), ratio_kf
        with torch.enable_grad():
            mean = ratio_kf.detach().requires_grad_()
            value_k = self.likelihood.log_prob_zero(mean).sum(1)
            (by_mean,) = torch.autograd.grad(value_k.sum(), mean, retain_graph=True)
        if self.learned:
            self._add(value_k, weight_k)
        return value_k.detach(), by_mean * -ratio_kf

    def slope(self, values: Tensor, log_ratio: Tensor, columns: Tensor) -> Tensor:
        """Derivative of the non-zeros' terms with respect to the log mean, shape ``(nnz,)``.

        Parameters
        ----------
        values, columns
            Counts and their features, shape ``(nnz,)`` each.
        log_ratio
            Logarithms of the counts' means divided by ``scale_f``, shape ``(nnz,)``.
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
            Weight of each count's cell, shape ``(nnz,)``.
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
            gradients = torch.autograd.grad(value, parameters, weight, materialize_grads=True)
            self._sums = [a + b for a, b in zip(self._sums, gradients, strict=True)]

    def parameter_gradients(self) -> list[Tensor]:
        """Weighted derivatives with respect to each parameter, summed over all calls so far."""
        return self._sums


def _filled(x: Tensor, padding: Tensor | None) -> Tensor:
    """Replace the entries of padding by 0."""
    return x if padding is None else x.masked_fill(padding, 0)
