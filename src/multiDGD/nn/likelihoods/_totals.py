"""Counts of cells given how many there are."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

# How far off a total may be, and how often a cell is drawn until it is not.
TOLERANCE = 0.02
N_TRIES = 50


def sample_given_totals(sample: Callable[[Tensor], Tensor], mean_nf: Tensor) -> Tensor:
    """Draw cells until their totals are those of their means, shape ``(n, f)``.

    Rejection by cell: what is left is drawn from the distribution of counts given their total,
    but for 2 % of it, or one count. Where 50 draws were not enough the closest one is taken.

    Parameters
    ----------
    sample
        Draws counts with given means.
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
        missed = (error_n > allowed_n).nonzero().squeeze(1)
        if not len(missed):
            break
        drawn = sample(mean_nf[missed])
        error = (drawn.sum(1) - total_n[missed]).abs()
        closer = error < error_n[missed]
        x_nf[missed[closer]] = drawn[closer]
        error_n[missed[closer]] = error[closer]
    return x_nf
