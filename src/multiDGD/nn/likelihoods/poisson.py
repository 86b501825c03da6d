"""Poisson counts."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from ._base import Likelihood
from ._terms import Terms


class Poisson(Likelihood):
    r"""Poisson: :math:`\log p(x) = x \log\mu - \mu - \log\Gamma(x + 1)`.

    Parameters
    ----------
    n_features
        Number of features f.

    Examples
    --------
    >>> import torch
    >>> from multiDGD.nn import Poisson
    >>> Poisson(n_features=2).log_prob(torch.zeros(1, 2), torch.tensor([[0.0, 2.0]])).shape
    torch.Size([1])
    """

    name: ClassVar[str] = "poisson"

    def log_prob_zero(self, mean_nf: Tensor) -> Tensor:
        """Log-probability of zeros, ``-mean`` (nats), shape ``(n, f)``."""
        return -mean_nf

    def terms(self, learned: bool) -> Terms:
        """Closed form for zeros."""
        return PoissonTerms(self, learned)

    def log_ratio_to_zero(self, values: Tensor, log_mean: Tensor, columns: Tensor) -> Tensor:
        """``log p(count) - log p(0)``, ``x log(mean) - log x!`` (nats), shape ``(nnz,)``."""
        return values * log_mean - torch.lgamma(values + 1)

    def sample(self, mean_nf: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw counts, shape ``(n, f)``."""
        return torch.poisson(mean_nf, generator=generator)


class PoissonTerms(Terms):
    """Closed form for zeros: ``-mean`` is also its own derivative with respect to the log mean."""

    def zeros(self, ratio_kf: Tensor, weight_k: Tensor, scratch: Tensor) -> tuple[Tensor, Tensor]:
        """Return minus the sum of the means, and the means."""
        return ratio_kf.sum(1).neg_(), scratch[0].copy_(ratio_kf)
