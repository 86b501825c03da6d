"""The sparse log-likelihood as autograd functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from multiDGD.nn._counts import Counts
from multiDGD.nn._workspace import Workspace

from ._sparse_log_prob import sparse_log_prob
from ._terms import Terms

MakeTerms: TypeAlias = Callable[[bool], Terms]


class LogProb(torch.autograd.Function):
    """Log-likelihood as a function of the logits and the likelihood's parameters.

    The forward pass also computes the derivative with respect to the logits, since both share
    most of the work. The backward pass multiplies it by the cells' weights.
    """

    @staticmethod
    def forward(
        ctx: Any,
        make_terms: MakeTerms,
        counts: Counts,
        workspace: Workspace,
        differentiable: bool,
        logits_nf: Tensor,
        *parameters: Tensor,
    ) -> Tensor:
        ctx.learned = differentiable and any(ctx.needs_input_grad[5:])
        gradient_nf = workspace.empty_like(logits_nf) if differentiable else None
        value_n, ctx.by_parameters = sparse_log_prob(
            make_terms(ctx.learned), counts, logits_nf, gradient_nf=gradient_nf
        )
        ctx.make_terms, ctx.counts, ctx.workspace = make_terms, counts, workspace
        ctx.n_parameters = len(parameters)
        ctx.save_for_backward(logits_nf, gradient_nf)
        return value_n

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weight_n: Tensor) -> tuple[Tensor | None, ...]:
        logits_nf, gradient_nf = ctx.saved_tensors
        by_logits = ctx.workspace.empty_like(gradient_nf)
        torch.mul(gradient_nf, weight_n[:, None].to(gradient_nf), out=by_logits)
        by_parameters = _parameter_gradients(ctx, weight_n, lambda: (logits_nf, None))
        return None, None, None, None, by_logits, *by_parameters


class LinearLogProb(torch.autograd.Function):
    """Log-likelihood as a function of the last linear layer's input, weight and bias.

    One buffer of shape ``(n, f)`` is enough: the matrix product writes the logits into it, and
    their derivatives replace them. Under autocast to bfloat16, products are in bfloat16. float16
    is not used, since its range is too small for derivatives at large counts.
    """

    @staticmethod
    def forward(
        ctx: Any,
        make_terms: MakeTerms,
        counts: Counts,
        workspace: Workspace,
        differentiable: bool,
        hidden_nh: Tensor,
        weight_fh: Tensor,
        bias_f: Tensor,
        *parameters: Tensor,
    ) -> Tensor:
        ctx.learned = differentiable and any(ctx.needs_input_grad[7:])
        ctx.make_terms, ctx.counts, ctx.workspace = make_terms, counts, workspace
        ctx.n_parameters = len(parameters)
        device = hidden_nh.device
        dtype = _product_dtype(device.type, weight_fh)
        shape = len(hidden_nh), len(weight_fh)
        logits_nf = workspace.empty(*shape, dtype=dtype, device=device)
        with torch.autocast(device.type, enabled=False):
            low_nh, low_fh = hidden_nh.to(dtype), weight_fh.to(dtype)
            torch.mm(low_nh, low_fh.T, out=logits_nf)
            value_n, ctx.by_parameters = sparse_log_prob(
                make_terms(ctx.learned),
                counts,
                logits_nf,
                bias_f=bias_f,
                gradient_nf=logits_nf if differentiable else None,
            )
        # `weight_fh` is saved too, so that autograd detects an in-place change of the layer.
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
            by_parameters = _parameter_gradients(ctx, weight_n, logits)
        return None, None, None, None, by_hidden, by_weight, by_bias, *by_parameters


def _product_dtype(device: str, weight: Tensor) -> torch.dtype:
    if torch.is_autocast_enabled(device):
        autocast_dtype = torch.get_autocast_dtype(device)
        if autocast_dtype == torch.bfloat16:
            return autocast_dtype
    return weight.dtype


def _parameter_gradients(
    ctx: Any, weight_n: Tensor, logits: Callable[[], tuple[Tensor, Tensor | None]]
) -> list[Tensor] | list[None]:
    """Derivatives with respect to the likelihood's parameters, summed over the weighted cells.

    The forward pass computes them for cells of equal weight, the usual case. For unequal weights
    they are computed again.
    """
    if not ctx.learned:
        return [None] * ctx.n_parameters
    # The gradient of a sum over cells is an expanded scalar (stride 0), whose weights are equal.
    # Comparing values would make the CPU wait for the device.
    if weight_n.stride() == (0,) or bool((weight_n == weight_n[:1]).all()):
        return [total * weight_n[:1].sum() for total in ctx.by_parameters]
    logits_nf, bias_f = logits()
    terms = ctx.make_terms(True)
    return sparse_log_prob(terms, ctx.counts, logits_nf, bias_f=bias_f, weight_n=weight_n)[1]
