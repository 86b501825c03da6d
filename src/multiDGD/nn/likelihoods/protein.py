"""Protein counts with background."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from ._base import Likelihood


class Protein(Likelihood):
    r"""Background or foreground: a mixture of two negative binomials for each feature.

    .. math::
        p(x) = \pi\, NB(x; \rho \mu, r_b)
            + (1 - \pi)\, NB\left(x; \frac{1 - \pi \rho}{1 - \pi} \mu, r_f\right)

    Of cells with the same expected profile, a share :math:`\pi_j` has captured antibody by
    background alone, at the fraction :math:`\rho_j < 1` of the mean (totalVI's mixture, with
    share and level learned by feature, and both proportional to the mean so that they hold at any
    depth). The mean of the mixture is :math:`\mu`.

    Parameters
    ----------
    n_features
        Number of features f.

    Examples
    --------
    >>> import torch
    >>> from multiDGD.nn import get_likelihood
    >>> protein = get_likelihood("protein")(n_features=3)
    >>> protein.log_prob(torch.zeros(1, 3), torch.tensor([[0.0, 20.0, 1.0]])).shape
    torch.Size([1])
    """

    name: ClassVar[str] = "protein"

    def __init__(self, n_features: int) -> None:
        super().__init__(n_features)
        self.background_share = nn.Parameter(torch.full((n_features,), -2.0))
        self.background_level = nn.Parameter(torch.full((n_features,), 0.0))
        self.log_r_background = nn.Parameter(torch.full((n_features,), math.log(2.0)))
        self.log_r_foreground = nn.Parameter(torch.full((n_features,), math.log(2.0)))

    def _components(self) -> tuple[Tensor, Tensor, Tensor]:
        """Log share, factor on the mean and dispersion of both, shape ``(2, f)`` each."""
        logit = self.background_share
        share, level = logit.sigmoid(), self.background_level.sigmoid()
        log_share = nn.functional.logsigmoid(torch.stack([logit, -logit]))
        factor = torch.stack([level, (1 - share * level) / (1 - share)])
        r = torch.stack([self.log_r_background, self.log_r_foreground]).exp()
        return log_share, factor, r

    def log_prob_zero(self, mean_nf: Tensor) -> Tensor:
        """Log-probability of zeros (nats), shape ``(n, f)``."""
        log_share, factor, r = self._components()
        zero_cnf = -r[:, None] * torch.log1p(mean_nf * (factor / r)[:, None])
        # Shares sum to 1 but for rounding, which a mean of 0 must not see.
        return (log_share[:, None] + zero_cnf).logsumexp(0) - log_share.logsumexp(0)

    def log_ratio_to_zero(self, values: Tensor, log_mean: Tensor, columns: Tensor) -> Tensor:
        """``log p(count) - log p(0)`` (nats), shape ``(nnz,)``."""
        by_feature = torch.stack(self._components()).to(values)
        log_share, factor, r = by_feature.index_select(2, columns)
        log_ratio = log_mean + factor.log() - r.log()
        zero = log_share - r * nn.functional.softplus(log_ratio)
        count = (
            torch.lgamma(values + r)
            - torch.lgamma(r)
            - torch.lgamma(values + 1)
            + values * nn.functional.logsigmoid(log_ratio)
        )
        return (zero + count).logsumexp(0) - zero.logsumexp(0)

    def fisher(self, mean_nf: Tensor) -> Tensor:
        """Information about the log mean if background were known as such, shape ``(n, f)``.

        A little more than there is in the count alone, which has no closed form.
        """
        log_share, factor, r = (x[:, None] for x in self._components())
        mean_cnf = mean_nf * factor
        return (log_share.exp() * mean_cnf * r / (mean_cnf + r)).sum(0)

    def sample(self, mean_nf: Tensor) -> Tensor:
        """Draw background or foreground, then its count, shape ``(n, f)``."""
        log_share, factor, r = self._components()
        is_background = torch.rand_like(mean_nf) < log_share[0].exp()
        factor_nf = torch.where(is_background, factor[0], factor[1])
        r_nf = torch.where(is_background, r[0], r[1])
        rate = torch.distributions.Gamma(r_nf, torch.ones_like(r_nf)).sample()
        return torch.poisson(rate * mean_nf * factor_nf / r_nf)
