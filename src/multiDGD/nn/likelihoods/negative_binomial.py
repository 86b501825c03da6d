"""Negative binomial counts."""

from __future__ import annotations

import math
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from . import _device, _fused
from ._base import Likelihood
from ._gamma import log_rising, rising_slope
from ._rows import Rows
from ._terms import Terms


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

    def terms(self, learned: bool) -> Terms:
        """Closed forms of values and derivatives."""
        return NegativeBinomialTerms(self, learned)

    def log_ratio_to_zero(self, values: Tensor, log_mean: Tensor, columns: Tensor) -> Tensor:
        r"""``log p(count) - log p(0)`` (nats), shape ``(nnz,)``.

        .. math::
            \log\Gamma(x + r) - \log\Gamma(r) - \log\Gamma(x + 1) + x \log\frac{\mu}{r + \mu}
        """
        r = self.dispersion
        # What depends on the feature alone is computed once a feature and fetched in one go.
        by_feature = torch.stack([r, r.log()], dim=1).to(values)
        r, log_r = by_feature.index_select(0, columns).unbind(1)
        return log_rising(values, r) + values * nn.functional.logsigmoid(log_mean - log_r)

    def fisher(self, mean_nf: Tensor) -> Tensor:
        """Information about the log mean, ``mean r / (mean + r)``, shape ``(n, f)``."""
        r = self.dispersion
        return mean_nf * r / (mean_nf + r)

    def sample(self, mean_nf: Tensor) -> Tensor:
        """Draw counts as a Poisson whose rate is gamma distributed, shape ``(n, f)``."""
        r = self.dispersion.expand_as(mean_nf)
        rate = torch.distributions.Gamma(r, torch.ones_like(r)).sample()
        return torch.poisson(rate * mean_nf / r)


class NegativeBinomialTerms(Terms):
    r"""Closed forms, with :math:`m = \mu / r` as the ratio.

    A zero has :math:`-r \log(1 + m)`, with derivatives :math:`-r\,m / (1 + m)` by the log mean and
    :math:`m / (1 + m) - \log(1 + m)` by r. What a count x adds to that has the derivatives
    :math:`x / (1 + m)` by the log mean and :math:`\psi(x + r) - \psi(r) - x / (r (1 + m))` by r.
    """

    scale_f: Tensor

    def __init__(self, likelihood: NegativeBinomial, learned: bool) -> None:
        super().__init__(likelihood, learned)
        r = likelihood.dispersion.detach()
        self.scale_f = r.to(torch.promote_types(r.dtype, torch.float32))
        self._by_r = torch.zeros_like(self.scale_f)

    def to(self, dtype: torch.dtype) -> Self:
        """Compute in this precision, sums of derivatives included."""
        self._by_r = self._by_r.to(dtype)
        return super().to(dtype)

    def evaluate(self, rows: Rows) -> None:
        """In one compiled pass, or a few kernels, where they are to be had."""
        if _fused.can_evaluate(rows):
            self._by_r += _fused.evaluate(rows, self.scale_f)
        elif _device.can_evaluate(rows):
            self._by_r += _device.evaluate(rows, self.scale_f, self.learned)
        else:
            super().evaluate(rows)

    def zeros(self, ratio_kf: Tensor, weight_k: Tensor, scratch: Tensor) -> tuple[Tensor, Tensor]:
        """Closed form; the derivatives by mean and dispersion share ``m / (1 + m)``."""
        cost, share = scratch
        torch.log1p(ratio_kf, out=cost)
        value_k = torch.mv(cost, self.scale_f).neg_()
        torch.add(ratio_kf, 1, out=share)
        torch.div(ratio_kf, share, out=share)
        if self.learned:
            self._by_r.addmv_(cost.sub_(share).T, weight_k, alpha=-1)
        return value_k, share

    def slope(self, values: Tensor, log_ratio: Tensor, columns: Tensor) -> Tensor:
        """``x / (1 + m)``."""
        return torch.sigmoid(-log_ratio).mul_(values)

    def nonzeros(
        self, values: Tensor, log_ratio: Tensor, columns: Tensor, weight: Tensor
    ) -> Tensor:
        r"""``log Gamma(x + r) - log Gamma(r) - log x! + x log(m / (1 + m))``."""
        rising, by_r = RisingFactorial(self.scale_f)(values, columns)
        if self.learned:
            self._by_r.index_add_(0, columns, by_r * weight)
            slope = self.slope(values, log_ratio, columns).mul_(weight)
            self._by_r -= torch.zeros_like(self._by_r).index_add_(0, columns, slope) / self.scale_f
        return rising.add_(values * nn.functional.logsigmoid(log_ratio))

    def parameter_gradients(self) -> list[Tensor]:
        """Derivative by ``log_r``."""
        return [self._by_r * (self.scale_f - 1)]


class RisingFactorial:
    r"""``log [Gamma(x + r) / (Gamma(r) x!)]`` and its derivative by r, at many counts.

    Counts are mostly 1, 2 or 3, for which the quotient is :math:`r (r + 1) \cdots (r + x - 1)`:
    a table over features costs a fraction of gamma functions at all of them.

    Parameters
    ----------
    r_f
        Dispersion of each feature, shape ``(f,)``.
    """

    N_TABLE = 4

    def __init__(self, r_f: Tensor) -> None:
        self.r_f = r_f
        steps = torch.arange(self.N_TABLE, device=r_f.device, dtype=r_f.dtype)[:, None]
        factors_xf = r_f + steps
        self._log = (factors_xf / (steps + 1)).log_().cumsum(0).view(-1)
        self._by_r = factors_xf.reciprocal_().cumsum(0).view(-1)

    def __call__(self, values: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Look both up, shape ``(nnz,)`` each.

        Parameters
        ----------
        values, columns
            Counts and their features, shape ``(nnz,)`` each.
        """
        x = values.long()
        at = (x - 1).clamp_(0, self.N_TABLE - 1).mul_(len(self.r_f)).add_(columns)
        value, by_r = self._log[at], self._by_r[at]
        others = ((x != values) | (x > self.N_TABLE) | (x < 1)).nonzero().squeeze(1)
        x, r = values[others], self.r_f[columns[others]]
        value[others], by_r[others] = log_rising(x, r), rising_slope(x, r)
        return value, by_r
