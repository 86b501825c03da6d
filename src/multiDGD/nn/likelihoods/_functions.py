"""The sparse log-likelihood as functions that autograd knows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from multiDGD.nn._counts import Counts
from multiDGD.nn._workspace import Workspace

from ._sparse import sparse_log_prob

if TYPE_CHECKING:
    from ._base import Likelihood


class LogProb(torch.autograd.Function):
    """Log-likelihood by logits and the likelihood's parameters.

    The derivative by the logits is taken along with the value, with which it shares most of the
    work, and gets the cells' weights in the backward pass.
    """

    @staticmethod
    def forward(
        ctx: Any,
        likelihood: Likelihood,
        counts: Counts,
        workspace: Workspace,
        differentiable: bool,
        logits_nf: Tensor,
        *parameters: Tensor,
    ) -> Tensor:
        ctx.learned = differentiable and any(ctx.needs_input_grad[5:])
        gradient_nf = workspace.empty_like(logits_nf) if differentiable else None
        value_n, ctx.by_parameters = sparse_log_prob(
            likelihood, counts, logits_nf, gradient_nf=gradient_nf, learned=ctx.learned
        )
        ctx.likelihood, ctx.counts, ctx.workspace = likelihood, counts, workspace
        ctx.save_for_backward(logits_nf, gradient_nf)
        return value_n

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weight_n: Tensor) -> tuple[Tensor | None, ...]:
        logits_nf, gradient_nf = ctx.saved_tensors
        by_logits = ctx.workspace.empty_like(gradient_nf)
        torch.mul(gradient_nf, weight_n[:, None].to(gradient_nf), out=by_logits)
        by_parameters = _by_parameters(ctx, weight_n, lambda: (logits_nf, None))
        return None, None, None, None, by_logits, *by_parameters


class LinearLogProb(torch.autograd.Function):
    """The same by input, weight and bias of the linear layer that gives the logits.

    One buffer of shape ``(n, f)`` is all it takes: the product writes the logits into it, and
    their derivatives take their place. Products are in bfloat16 under autocast to it; float16 has
    too small a range for derivatives at large counts and is not used.
    """

    @staticmethod
    def forward(
        ctx: Any,
        likelihood: Likelihood,
        counts: Counts,
        workspace: Workspace,
        differentiable: bool,
        hidden_nh: Tensor,
        weight_fh: Tensor,
        bias_f: Tensor,
        *parameters: Tensor,
    ) -> Tensor:
        ctx.learned = differentiable and any(ctx.needs_input_grad[7:])
        ctx.likelihood, ctx.counts, ctx.workspace = likelihood, counts, workspace
        device = hidden_nh.device
        dtype = _product_dtype(device.type, weight_fh)
        shape = len(hidden_nh), len(weight_fh)
        logits_nf = workspace.empty(*shape, dtype=dtype, device=device)
        with torch.autocast(device.type, enabled=False):
            low_nh, low_fh = hidden_nh.to(dtype), weight_fh.to(dtype)
            torch.mm(low_nh, low_fh.T, out=logits_nf)
            value_n, ctx.by_parameters = sparse_log_prob(
                likelihood,
                counts,
                logits_nf,
                bias_f=bias_f,
                gradient_nf=logits_nf if differentiable else None,
                learned=ctx.learned,
            )
        # The layer's own weight among them, so that autograd notices if it is changed meanwhile.
        ctx.save_for_backward(logits_nf, hidden_nh, weight_fh, low_fh, bias_f)
        return value_n

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weight_n: Tensor) -> tuple[Tensor | None, ...]:
        gradient_nf, hidden_nh, weight_fh, low_fh, bias_f = ctx.saved_tensors
        dtype = gradient_nf.dtype
        device = gradient_nf.device
        weight_n1 = weight_n[:, None]
        by_weight = by_bias = None

        def logits() -> tuple[Tensor, Tensor]:
            return torch.mm(hidden_nh.to(dtype), low_fh.T), bias_f

        with torch.autocast(device.type, enabled=False):
            by_hidden = (torch.mm(gradient_nf, low_fh) * weight_n1).to(hidden_nh)
            if ctx.needs_input_grad[5]:
                weighted_nh = (hidden_nh * weight_n1).to(dtype)
                by_weight = ctx.workspace.empty_like(low_fh)
                torch.mm(gradient_nf.T, weighted_nh, out=by_weight)
                if dtype != weight_fh.dtype:
                    by_weight = ctx.workspace.empty_like(weight_fh).copy_(by_weight)
            if ctx.needs_input_grad[6]:
                by_bias = torch.mv(gradient_nf.T, weight_n.to(dtype)).to(bias_f)
            by_parameters = _by_parameters(ctx, weight_n, logits)
        return None, None, None, None, by_hidden, by_weight, by_bias, *by_parameters


def _product_dtype(device: str, weight: Tensor) -> torch.dtype:
    if torch.is_autocast_enabled(device):
        wanted = torch.get_autocast_dtype(device)
        if wanted == torch.bfloat16:
            return wanted
    return weight.dtype


def _by_parameters(
    ctx: Any, weight_n: Tensor, logits: Callable[[], tuple[Tensor, Tensor | None]]
) -> list[Tensor] | list[None]:
    """Derivatives by the likelihood's parameters, which add up over the weighted cells.

    The sums of the forward pass are those of cells of equal weight, which cells have unless
    somebody weights them; then they are taken again.
    """
    if not ctx.learned:
        return [None] * len(list(ctx.likelihood.parameters()))
    # Those of a sum over cells are one number seen n times, which needs no look at the device.
    if weight_n.stride() == (0,) or bool((weight_n == weight_n[:1]).all()):
        return [total * weight_n[:1].sum() for total in ctx.by_parameters]
    logits_nf, bias_f = logits()
    return sparse_log_prob(
        ctx.likelihood, ctx.counts, logits_nf, bias_f=bias_f, weight_n=weight_n, learned=True
    )[1]
