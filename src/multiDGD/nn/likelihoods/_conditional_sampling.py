"""Sampling of a cell's counts given their total."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

# Allowed relative error of a total, and the number of draws per cell to reach it.
TOLERANCE = 0.02
N_TRIES = 50


def sample_given_totals(sample: Callable[[Tensor], Tensor], mean_nf: Tensor) -> Tensor:
    """Draw cells until their totals are those of their means, shape ``(n, f)``.

    Rejection sampling by cell: the result follows the distribution of counts given their total,
    to within 2 % of the total, or one count. If 50 draws are not enough, the closest one is taken.

    Parameters
    ----------
    sample
        Function that draws counts with given means.
    mean_nf
        Mean counts, shape ``(n, f)``.

    Examples
    --------
    >>> import torch
    >>> mean = torch.full((100, 4), 25.0)
    >>> bool((sample_given_totals(torch.poisson, mean).sum(1) - 100).abs().max() <= 2)
    True
    """
    total_n = mean_nf.sum(1)
    allowed_n = (TOLERANCE * total_n).clamp(min=1)
    x_nf = sample(mean_nf)
    error_n = (x_nf.sum(1) - total_n).abs()
    for _ in range(N_TRIES - 1):
        rejected = (error_n > allowed_n).nonzero().squeeze(1)
        if not len(rejected):
            break
        drawn = sample(mean_nf[rejected])
        error = (drawn.sum(1) - total_n[rejected]).abs()
        closer = error < error_n[rejected]
        x_nf[rejected[closer]] = drawn[closer]
        error_n[rejected[closer]] = error[closer]
    return x_nf
