"""A minibatch of one modality, as what evaluates its rows is given it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from multiDGD.nn._counts import Counts


class Rows(NamedTuple):
    """What is known of n cells, and where to write what is wanted of them.

    Attributes
    ----------
    counts
        Their counts.
    logits_nf
        Logits without ``shift_f``, shape ``(n, f)``; may be of a lower precision than the rest.
    shift_f
        Added to the logits, as the last layer's bias is, shape ``(f,)``, or `None`.
    values
        Non-zero counts in the precision of the computation, shape ``(nnz,)``.
    library_n
        Total counts, shape ``(n,)``.
    weight_n
        Weight of each cell in derivatives by the likelihood's parameters, shape ``(n,)``; 1 where
        ``gradient_nf`` is wanted too.
    value_n
        To be filled with the log-likelihood (nats), shape ``(n,)``.
    gradient_nf
        To be filled with its derivative by the logits, shape ``(n, f)``; `None` if not wanted. May
        be ``logits_nf`` itself.
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
        """Whether all is computed in float32, from logits (or bfloat16 ones) without gaps."""
        return (
            self.values.dtype == torch.float32
            and self.logits_nf.dtype in (torch.float32, torch.bfloat16)
            and self.logits_nf.is_contiguous()
        )

    @property
    def start(self) -> Tensor:
        """First non-zero of each cell, and their number, shape ``(n + 1,)``."""
        ends = torch.arange(len(self.library_n) + 1, device=self.library_n.device)
        return torch.searchsorted(self.counts.rows, ends)
