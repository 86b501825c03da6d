"""A minibatch of one modality, with buffers for its log-likelihood and gradient."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from multiDGD.nn._counts import Counts


class Minibatch(NamedTuple):
    """Counts and logits of n cells, with buffers for their log-likelihood and gradient.

    Attributes
    ----------
    counts
        Counts of the cells.
    logits_nf
        Logits without ``shift_f``, shape ``(n, f)``; may have a lower precision than the rest.
    shift_f
        Added to the logits, like the last layer's bias, shape ``(f,)``, or `None`.
    values
        Non-zero counts in the precision of the computation, shape ``(nnz,)``.
    library_n
        Total counts, shape ``(n,)``.
    weight_n
        Weight of each cell in derivatives with respect to the likelihood's parameters, shape
        ``(n,)``; must be 1 if ``gradient_nf`` is given.
    value_n
        Buffer for the log-likelihood (nats), shape ``(n,)``.
    gradient_nf
        Buffer for its derivative with respect to the logits, shape ``(n, f)``; `None` to skip it.
        May be ``logits_nf`` itself.
    """

    counts: Counts
    logits_nf: Tensor
    shift_f: Tensor | None
    values: Tensor
    library_n: Tensor
    weight_n: Tensor
    value_n: Tensor
    gradient_nf: Tensor | None

    @property
    def is_float32(self) -> bool:
        """Whether the computation is in float32, from contiguous logits (float32 or bfloat16)."""
        return (
            self.values.dtype == torch.float32
            and self.logits_nf.dtype in (torch.float32, torch.bfloat16)
            and self.logits_nf.is_contiguous()
        )

    @property
    def indptr(self) -> Tensor:
        """Index of each cell's first non-zero, then their number, shape ``(n + 1,)`` (CSR)."""
        ends = torch.arange(len(self.library_n) + 1, device=self.library_n.device)
        return torch.searchsorted(self.counts.rows, ends)
