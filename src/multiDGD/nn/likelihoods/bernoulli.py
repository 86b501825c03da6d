"""Binary accessibility."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from .poisson import Poisson


class Bernoulli(Poisson):
    r"""Bernoulli, open or closed: :math:`p(x > 0) = 1 - e^{-\mu}`.

    This is the probability that a Poisson count of mean :math:`\mu` is not zero. The library size
    thus has the same role as in the other likelihoods, and zeros are as likely as for the Poisson.
    Counts above 1 are treated as 1.

    Parameters
    ----------
    n_features
        Number of features f.

    Examples
    --------
    >>> import torch
    >>> from multiDGD.nn import Bernoulli
    >>> Bernoulli(n_features=2).log_prob(torch.zeros(1, 2), torch.tensor([[0.0, 1.0]])).shape
    torch.Size([1])
    """

    name: ClassVar[str] = "bernoulli"
    max_count: ClassVar[float] = 1

    def log_ratio_to_zero(self, values: Tensor, log_mean: Tensor, columns: Tensor) -> Tensor:
        """Log odds of an open feature, ``log(exp(mean) - 1)`` (nats), shape ``(nnz,)``."""
        # mean + log(1 - exp(-mean)), whose last term is log(mean) - mean / 2 for tiny means.
        mean = log_mean.exp()
        tiny = mean < 1e-4
        safe = torch.where(tiny, torch.ones_like(mean), mean)
        return mean + torch.where(tiny, log_mean - mean / 2, torch.log(-torch.expm1(-safe)))

    def fisher(self, mean_nf: Tensor) -> Tensor:
        """Information about the log mean, ``mean² / (exp(mean) - 1)``, shape ``(n, f)``."""
        # mean exp(-mean) (mean / (1 - exp(-mean))) neither overflows nor divides 0 by 0.
        safe = mean_nf.clamp(min=torch.finfo(mean_nf.dtype).tiny)
        return mean_nf * torch.exp(-mean_nf) * (safe / -torch.expm1(-safe))

    def sample(self, mean_nf: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw zeros and ones, shape ``(n, f)``."""
        return torch.bernoulli(-torch.expm1(-mean_nf), generator=generator)

    def sample_cells(self, mean_nf: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw zeros and ones, shape ``(n, f)``; their totals are not library sizes."""
        return self.sample(mean_nf, generator)
