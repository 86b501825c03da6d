"""Poisson counts."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from ._base import Likelihood
from ._zero import PoissonZero, ZeroPart


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

    def log_prob_zero(self, mean: Tensor, columns: Tensor | None = None) -> Tensor:
        """Log-probability of zero counts, ``-mean`` (nats), of the means' shape."""
        return -mean

    def zero_part(self) -> ZeroPart:
        """Closed forms of the zeros' derivatives."""
        return PoissonZero(self)

    def log_prob_nonzero(self, values: Tensor, log_mean: Tensor, columns: Tensor) -> Tensor:
        """Log-probability of non-zero counts (nats), shape ``(nnz,)``."""
        return values * log_mean - log_mean.exp() - torch.lgamma(values + 1)

    def sample(self, mean_nf: Tensor) -> Tensor:
        """Draw counts, shape ``(n, f)``."""
        return torch.poisson(mean_nf)
