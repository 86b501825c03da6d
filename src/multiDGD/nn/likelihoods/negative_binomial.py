"""Negative binomial counts."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from ._base import Likelihood
from ._zero import ZeroPart


class NegativeBinomial(Likelihood):
    r"""Negative binomial with a dispersion for each feature, the published likelihood.

    .. math::
        \log p(x) = \log\Gamma(x + r) - \log\Gamma(r) - \log\Gamma(x + 1)
            + r \log\frac{r}{r + \mu} + x \log\frac{\mu}{r + \mu}

    with :math:`r = 1 + e^{\text{log\_r}}`; the variance is :math:`\mu + \mu^2 / r`.

    Parameters
    ----------
    n_features
        Number of features f.
    dispersion
        Start of every r, above 1.

    Raises
    ------
    ValueError
        If ``dispersion`` is not above 1.

    Examples
    --------
    >>> import torch
    >>> from multiDGD.nn import NegativeBinomial
    >>> nb = NegativeBinomial(n_features=3)
    >>> nb.log_prob(torch.zeros(1, 3), torch.tensor([[0.0, 2.0, 1.0]])).shape
    torch.Size([1])
    """

    name: ClassVar[str] = "nb"

    def __init__(self, n_features: int, dispersion: float = 2.0) -> None:
        super().__init__(n_features)
        if not dispersion > 1:
            raise ValueError(f"`dispersion` must be above 1, found {dispersion}.")
        self.log_r = nn.Parameter(torch.full((n_features,), math.log(dispersion - 1)))

    @property
    def dispersion(self) -> Tensor:
        """R of each feature, shape ``(f,)``."""
        return 1 + self.log_r.exp()

    def log_prob_zero(self, mean_nf: Tensor) -> Tensor:
        """Log-probability of zeros, ``-r log(1 + mean / r)`` (nats), shape ``(n, f)``."""
        r = self.dispersion
        return torch.log1p(mean_nf / r) * -r

    def zero_part(self) -> ZeroPart:
        """Closed forms of the zeros' derivatives."""
        return NegativeBinomialZero(self)

    def log_ratio_to_zero(self, values: Tensor, log_mean: Tensor, columns: Tensor) -> Tensor:
        r"""``log p(count) - log p(0)`` (nats), shape ``(nnz,)``.

        .. math::
            \log\Gamma(x + r) - \log\Gamma(r) - \log\Gamma(x + 1) + x \log\frac{\mu}{r + \mu}
        """
        r = self.dispersion
        # What depends on the feature alone is computed once a feature and fetched in one go.
        by_feature = torch.stack([r, r.log(), r.lgamma()], dim=1).to(values)
        r, log_r, lgamma_r = by_feature.index_select(0, columns).unbind(1)
        return (
            torch.lgamma(values + r)
            - lgamma_r
            - torch.lgamma(values + 1)
            + values * nn.functional.logsigmoid(log_mean - log_r)
        )

    def sample(self, mean_nf: Tensor) -> Tensor:
        """Draw counts as a Poisson whose rate is gamma distributed, shape ``(n, f)``."""
        r = self.dispersion.expand_as(mean_nf)
        rate = torch.distributions.Gamma(r, torch.ones_like(r)).sample()
        return torch.poisson(rate * mean_nf / r)


class NegativeBinomialZero(ZeroPart):
    """``-r log(1 + m)`` with ``m = mean / r``.

    Its derivative is ``-r m / (1 + m)`` by the log mean and
    ``(r - 1) (m / (1 + m) - log(1 + m))`` by ``log_r``.
    """

    def __init__(self, likelihood: NegativeBinomial) -> None:
        super().__init__(likelihood)
        self.r = likelihood.dispersion.detach()
        self._by_r = torch.zeros_like(self.r)

    def total(self, mean_nf: Tensor) -> Tensor:
        """Sum over features by a product with ``-r``."""
        r = self.r.to(mean_nf)
        return torch.mv(mean_nf.div_(r).log1p_(), r).neg_()

    def gradient(
        self, mean_nf: Tensor, weight_n: Tensor, scratch_nf: Tensor, with_parameters: bool
    ) -> Tensor:
        """Closed form; the derivatives by mean and dispersion share ``m / (1 + m)``."""
        r = self.r.to(mean_nf)
        weight = weight_n.to(mean_nf)
        ratio = mean_nf.div_(r)
        if with_parameters:
            self._by_r = self._by_r.to(mean_nf)
            torch.log1p(ratio, out=scratch_nf)
            self._by_r.addmv_(scratch_nf.T, weight, alpha=-1)
        share = ratio.div_(torch.add(ratio, 1, out=scratch_nf))
        if with_parameters:
            self._by_r.addmv_(share.T, weight)
        return share.mul_(r).mul_(-weight[:, None])

    def parameter_gradients(self) -> list[Tensor]:
        """Derivative by ``log_r``."""
        return [self._by_r * (self.r - 1)]
