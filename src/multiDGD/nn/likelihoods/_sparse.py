"""Log-likelihood of softmax means at the cost of one pass and the non-zeros."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from multiDGD.nn._counts import Counts

if TYPE_CHECKING:
    from ._base import Likelihood

# Elements of a block of rows: on a CPU what stays in a core's cache through all operations on it,
# elsewhere what keeps the device busy.
BLOCK_ELEMENTS = 2**17
DEVICE_BLOCK_ELEMENTS = 2**26


class SparseLogProb(torch.autograd.Function):
    r"""Log-likelihood of every cell, with gradients by the logits and the likelihood's parameters.

    With :math:`y = \mathrm{softmax}(a)`, :math:`\mu = s y` and :math:`g_j` the derivative of
    feature j's term by :math:`\log\mu_j`, the derivative by the logits is
    :math:`g_j - y_j \sum_k g_k`. Zeros enter as if every count were zero, and non-zeros by a
    correction at their places. Apart from the logits themselves and their gradient nothing of
    the size (cells x features) is ever held: rows are taken a few at a time, through memory that
    is used again, and exponentials are cheaper to take again than to keep.
    """

    @staticmethod
    def forward(
        ctx: Any,
        likelihood: Likelihood,
        counts: Counts,
        reuse_logits: bool,
        logits_nf: Tensor,
        *parameters: Tensor,
    ) -> Tensor:
        value_n = logits_nf.new_empty(len(logits_nf), dtype=_at_least_float32(logits_nf))
        library = counts.library.to(value_n)
        lse_n = torch.empty_like(value_n)
        zeros = likelihood.zero_part()
        for rows, (block,) in _row_blocks(logits_nf, value_n.dtype, 1):
            largest = logits_nf[rows].amax(1, keepdim=True)
            _exp_minus(logits_nf[rows], largest, block)
            total = block.sum(1, keepdim=True)
            lse_n[rows] = (largest + total.log()).squeeze(1)
            value_n[rows] = zeros.total(block.mul_(library[rows, None] / total))

        flat_index = counts.flat_index
        logit = logits_nf.reshape(-1)[flat_index].to(value_n.dtype)
        log_mean = logit - lse_n[counts.rows] + library.log()[counts.rows]
        with torch.enable_grad():
            log_mean = log_mean.detach().requires_grad_()
            correction = likelihood.log_ratio_to_zero(
                counts.values.to(log_mean), log_mean, counts.columns
            )
        value_n.index_add_(0, counts.rows, correction.detach())

        ctx.save_for_backward(logits_nf, lse_n, library)
        ctx.likelihood, ctx.counts, ctx.reuse_logits = likelihood, counts, reuse_logits
        ctx.flat_index, ctx.log_mean, ctx.correction = flat_index, log_mean, correction
        return value_n

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weight_n: Tensor) -> tuple[Tensor | None, ...]:
        logits_nf, lse_n, library = ctx.saved_tensors
        likelihood, counts = ctx.likelihood, ctx.counts
        n, f = logits_nf.shape
        learned = any(ctx.needs_input_grad[4:])
        parameters = tuple(likelihood.parameters()) if learned else ()
        at_nonzeros, *by_parameters = torch.autograd.grad(
            ctx.correction,
            (ctx.log_mean, *parameters),
            weight_n[counts.rows],
            retain_graph=True,
            materialize_grads=True,
        )
        zeros = likelihood.zero_part()
        gradient_nf = logits_nf if ctx.reuse_logits else torch.empty_like(logits_nf)
        first_nonzero = torch.searchsorted(
            counts.rows, torch.arange(n + 1, device=counts.rows.device)
        ).tolist()
        for rows, (share, mean, scratch) in _row_blocks(logits_nf, lse_n.dtype, 3):
            _exp_minus(logits_nf[rows], lse_n[rows, None], share)
            torch.mul(share, library[rows, None], out=mean)
            g = zeros.gradient(mean, weight_n[rows], scratch, learned)
            here = slice(first_nonzero[rows.start], first_nonzero[rows.stop])
            at = ctx.flat_index[here] - rows.start * f
            g.view(-1).index_add_(0, at, at_nonzeros[here])
            into = gradient_nf[rows] if gradient_nf.dtype == g.dtype else g
            torch.addcmul(g, share, g.sum(1, keepdim=True), value=-1, out=into)
            if into is g:
                gradient_nf[rows] = g
        if not learned:
            return None, None, None, gradient_nf, *([None] * (len(ctx.needs_input_grad) - 4))
        totals = zip(by_parameters, zeros.parameter_gradients(), strict=True)
        return None, None, None, gradient_nf, *(a + b for a, b in totals)


def _exp_minus(x_nf: Tensor, shift_n1: Tensor, out_nf: Tensor) -> None:
    if x_nf.dtype == out_nf.dtype:
        torch.sub(x_nf, shift_n1, out=out_nf).exp_()
    else:  # the difference must be taken in the wider type
        out_nf.copy_(x_nf).sub_(shift_n1).exp_()


def _at_least_float32(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


def _row_blocks(
    x_nf: Tensor, dtype: torch.dtype, n_buffers: int
) -> Iterator[tuple[slice, list[Tensor]]]:
    """Rows a few at a time, each with buffers of the block's shape that are used again."""
    n, f = x_nf.shape
    elements = BLOCK_ELEMENTS if x_nf.device.type == "cpu" else DEVICE_BLOCK_ELEMENTS
    size = min(n, max(1, elements // f))
    memory = torch.empty(n_buffers, size, f, dtype=dtype, device=x_nf.device)
    for start in range(0, n, size):
        rows = slice(start, min(start + size, n))
        yield rows, list(memory[:, : rows.stop - start])
