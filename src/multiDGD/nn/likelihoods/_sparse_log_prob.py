"""Log-likelihood of softmax means, at the cost of one pass over the means and the non-zeros."""

from __future__ import annotations

import torch
from torch import Tensor

from multiDGD.nn._counts import Counts

from ._minibatch import Minibatch
from ._terms import Terms


def sparse_log_prob(
    terms: Terms,
    counts: Counts,
    logits_nf: Tensor,
    *,
    bias_f: Tensor | None = None,
    weight_n: Tensor | None = None,
    gradient_nf: Tensor | None = None,
) -> tuple[Tensor, list[Tensor]]:
    r"""Log-likelihood of each cell and its derivatives, without autograd.

    With :math:`y = \mathrm{softmax}(a)`, :math:`\mu = s y` and :math:`g_j` the derivative of
    feature j's term with respect to :math:`\log\mu_j`, the derivative with respect to the logits
    is :math:`g_j - y_j \sum_k g_k`. All counts are evaluated as zeros first; non-zeros then add a
    correction. No memory of size (cells x features) is allocated.

    Parameters
    ----------
    terms
        Terms of the likelihood, newly created.
    counts
        Counts of n cells.
    logits_nf
        Logits without the bias, shape ``(n, f)``.
    bias_f
        Added to the logits of every cell, shape ``(f,)``.
    weight_n
        Weight of each cell in the derivatives with respect to the likelihood's parameters, 1 by
        default. Not allowed together with ``gradient_nf``.
    gradient_nf
        Buffer for the derivative with respect to the logits (with weight 1 for each cell), shape
        ``(n, f)``. May be ``logits_nf`` itself.

    Returns
    -------
    Log-likelihood of each cell (nats), shape ``(n,)``, and the derivatives with respect to each
    parameter, which are empty unless ``terms.learned``.
    """
    dtype = torch.promote_types(logits_nf.dtype, torch.float32)
    library_n = counts.library.to(dtype)
    terms = terms.to(dtype)
    shift_f = None if bias_f is None else bias_f.to(dtype)
    if terms.scale_f is not None:
        log_scale_f = terms.scale_f.log()
        shift_f = -log_scale_f if shift_f is None else shift_f - log_scale_f
    batch = Minibatch(
        counts=counts,
        logits_nf=logits_nf,
        shift_f=shift_f,
        values=counts.values.to(dtype),
        library_n=library_n,
        weight_n=torch.ones_like(library_n) if weight_n is None else weight_n.to(dtype),
        value_n=torch.empty_like(library_n),
        gradient_nf=gradient_nf,
    )
    terms.evaluate(batch)
    return batch.value_n, terms.parameter_gradients() if terms.learned else []
