"""Log-likelihood of softmax means at the cost of one pass and the non-zeros."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from multiDGD.nn._counts import Counts

if TYPE_CHECKING:
    from ._base import Likelihood

# Elements of a block of rows: about what stays in a core's cache through all operations on it.
BLOCK_ELEMENTS = 2**18


class SparseLogProb(torch.autograd.Function):
    r"""Log-likelihood of every cell, with gradients by the logits and the likelihood's parameters.

    With :math:`y = \mathrm{softmax}(a)`, :math:`\mu = s y` and :math:`g_j` the derivative of
    feature j's term by :math:`\log\mu_j`, the derivative by the logits is
    :math:`g_j - y_j \sum_k g_k`. Zeros enter by :meth:`Likelihood.log_prob_zero`, as if every
    count were zero, and non-zeros by a correction at their places. Apart from the logits
    themselves and their gradient nothing of the size (cells x features) is ever held: rows are
    taken a few at a time, and exponentials are cheaper to take again than to keep.
    """

    @staticmethod
    def forward(
        ctx: Any, likelihood: Likelihood, counts: Counts, logits_nf: Tensor, *parameters: Tensor
    ) -> Tensor:
        n, f = logits_nf.shape
        value_n = logits_nf.new_empty(n, dtype=torch.promote_types(logits_nf.dtype, torch.float32))
        library = counts.library.to(value_n)
        lse_n = torch.empty_like(value_n)
        for rows in _row_blocks(n, f):
            a = logits_nf[rows].to(value_n.dtype)
            lse_n[rows] = a.logsumexp(1)
            mean = (a - lse_n[rows, None]).exp_().mul_(library[rows, None])
            value_n[rows] = likelihood.log_prob_zero(mean).sum(1)

        logit = logits_nf.reshape(-1)[counts.flat_index].to(value_n.dtype)
        log_mean = logit - lse_n[counts.rows] + library.log()[counts.rows]
        with torch.enable_grad():
            log_mean = log_mean.detach().requires_grad_()
            correction = likelihood.log_prob_nonzero(
                counts.values.to(log_mean), log_mean, counts.columns
            ) - likelihood.log_prob_zero(log_mean.exp(), counts.columns)
        value_n.index_add_(0, counts.rows, correction.detach())

        ctx.save_for_backward(logits_nf, lse_n, library)
        ctx.likelihood, ctx.counts = likelihood, counts
        ctx.log_mean, ctx.correction = log_mean, correction
        return value_n

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weight_n: Tensor) -> tuple[Tensor | None, ...]:
        logits_nf, lse_n, library = ctx.saved_tensors
        likelihood, counts = ctx.likelihood, ctx.counts
        n, f = logits_nf.shape
        parameters = tuple(likelihood.parameters()) if any(ctx.needs_input_grad[3:]) else ()
        at_nonzeros, *by_parameters = torch.autograd.grad(
            ctx.correction,
            (ctx.log_mean, *parameters),
            weight_n[counts.rows],
            retain_graph=True,
            materialize_grads=True,
        )
        gradient_nf = torch.empty_like(logits_nf)
        first_nonzero = torch.searchsorted(
            counts.rows, torch.arange(n + 1, device=counts.rows.device)
        ).tolist()
        for rows in _row_blocks(n, f):
            share = (logits_nf[rows].to(lse_n.dtype) - lse_n[rows, None]).exp_()
            mean = share * library[rows, None]
            if parameters:
                parts = likelihood.zero_parameter_gradients(mean, weight_n[rows])
                for total, part in zip(by_parameters, parts, strict=True):
                    total += part
            g = likelihood.zero_gradient(mean).mul_(weight_n[rows, None])
            here = slice(first_nonzero[rows.start], first_nonzero[rows.stop])
            at = counts.flat_index[here] - rows.start * f
            g.view(-1).index_add_(0, at, at_nonzeros[here])
            gradient_nf[rows] = g.addcmul_(share, g.sum(1, keepdim=True), value=-1)
        none = (None,) * (len(ctx.needs_input_grad) - 3)
        return None, None, gradient_nf, *(by_parameters if parameters else none)


def _row_blocks(n: int, f: int) -> list[slice]:
    size = max(1, BLOCK_ELEMENTS // f)
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]
