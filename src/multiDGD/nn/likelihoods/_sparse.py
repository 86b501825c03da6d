"""Log-likelihood of softmax means at the cost of one pass and the non-zeros."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from multiDGD.nn._counts import Counts

from ._rows import Rows

if TYPE_CHECKING:
    from ._base import Likelihood


def sparse_log_prob(
    likelihood: Likelihood,
    counts: Counts,
    logits_nf: Tensor,
    *,
    bias_f: Tensor | None = None,
    weight_n: Tensor | None = None,
    gradient_nf: Tensor | None = None,
    learned: bool = False,
) -> tuple[Tensor, list[Tensor]]:
    r"""Log-likelihood of every cell and its derivatives, outside of autograd.

    With :math:`y = \mathrm{softmax}(a)`, :math:`\mu = s y` and :math:`g_j` the derivative of
    feature j's term by :math:`\log\mu_j`, the derivative by the logits is
    :math:`g_j - y_j \sum_k g_k`. Zeros enter as if every count were zero, and non-zeros by a
    correction at their places. Nothing of the size (cells x features) is allocated.

    Parameters
    ----------
    likelihood
        The likelihood.
    counts
        Counts of n cells.
    logits_nf
        Logits, but for the bias, shape ``(n, f)``.
    bias_f
        Added to the logits of every cell, shape ``(f,)``.
    weight_n
        Weight of each cell in the derivatives by the likelihood's parameters, 1 by default. Not
        together with ``gradient_nf``.
    gradient_nf
        Where the derivative by the logits is written to (that of each cell with weight 1), shape
        ``(n, f)``. May be ``logits_nf`` itself.
    learned
        Whether derivatives by the likelihood's parameters are wanted.

    Returns
    -------
    Log-likelihood of each cell (nats), shape ``(n,)``, and the derivatives by each parameter.
    """
    dtype = torch.promote_types(logits_nf.dtype, torch.float32)
    library_n = counts.library.to(dtype)
    terms = likelihood.terms(learned).to(dtype)
    shift_f = None if bias_f is None else bias_f.to(dtype)
    if terms.scale_f is not None:
        log_scale_f = terms.scale_f.log()
        shift_f = -log_scale_f if shift_f is None else shift_f - log_scale_f
    rows = Rows(
        counts=counts,
        logits_nf=logits_nf,
        shift_f=shift_f,
        values=counts.values.to(dtype),
        library_n=library_n,
        weight_n=torch.ones_like(library_n) if weight_n is None else weight_n.to(dtype),
        value_n=torch.empty_like(library_n),
        gradient_nf=gradient_nf,
    )
    terms.evaluate(rows)
    return rows.value_n, terms.parameter_gradients() if learned else []
