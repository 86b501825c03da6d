"""Negative binomial counts."""

from __future__ import annotations

import math
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from ._base import Likelihood
from ._gamma import sample_gamma
from ._minibatch import Minibatch
from ._nb_coefficient import NBCoefficientTable, log_nb_coefficient, nb_coefficient_slope
from ._negative_binomial_cpu import can_evaluate_on_cpu, evaluate_on_cpu
from ._negative_binomial_cuda import can_evaluate_on_cuda, evaluate_on_cuda
from ._terms import Terms


class NegativeBinomial(Likelihood):
    r"""Negative binomial with one dispersion per feature, the published likelihood.

    .. math::
        \log p(x) = \log\Gamma(x + r) - \log\Gamma(r) - \log\Gamma(x + 1)
            + r \log\frac{r}{r + \mu} + x \log\frac{\mu}{r + \mu}

    with :math:`r = 1 + e^{\text{log\_r}}`; the variance is :math:`\mu + \mu^2 / r`.

    Parameters
    ----------
    n_features
        Number of features f.
    dispersion
        Initial value of every r, above 1.

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
        """Dispersion r of each feature, shape ``(f,)``."""
        return 1 + self.log_r.exp()

    def log_prob_zero(self, mean_nf: Tensor) -> Tensor:
        """Log-probability of zeros, ``-r log(1 + mean / r)`` (nats), shape ``(n, f)``."""
        r = self.dispersion
        return torch.log1p(mean_nf / r) * -r

    def posterior_mean(self, mean_nf: Tensor, counts_nf: Tensor) -> Tensor:
        r"""Posterior mean of the gamma-distributed rate, shape ``(n, f)``.

        A negative binomial is a Poisson whose rate has the distribution
        :math:`\mathrm{Gamma}(r, r / \mu)`. Given a count x, its mean is
        :math:`\mu (x + r) / (\mu + r)`.
        """
        r = self.dispersion
        return mean_nf * (counts_nf + r) / (mean_nf + r)

    def terms(self, learned: bool) -> Terms:
        """Closed forms of values and derivatives."""
        return NegativeBinomialTerms(self, learned)

    def log_ratio_to_zero(self, values: Tensor, log_mean: Tensor, columns: Tensor) -> Tensor:
        r"""``log p(count) - log p(0)`` (nats), shape ``(nnz,)``.

        .. math::
            \log\Gamma(x + r) - \log\Gamma(r) - \log\Gamma(x + 1) + x \log\frac{\mu}{r + \mu}
        """
        r = self.dispersion
        # Computed once per feature, then gathered for all non-zeros in a single call.
        by_feature = torch.stack([r, r.log()], dim=1).to(values)
        r, log_r = by_feature.index_select(0, columns).unbind(1)
        log_odds = log_mean - log_r
        return log_nb_coefficient(values, r) + values * nn.functional.logsigmoid(log_odds)

    def fisher(self, mean_nf: Tensor) -> Tensor:
        """Information about the log mean, ``mean r / (mean + r)``, shape ``(n, f)``."""
        r = self.dispersion
        return mean_nf * r / (mean_nf + r)

    def sample(self, mean_nf: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw Poisson counts with gamma-distributed rates, shape ``(n, f)``."""
        return torch.poisson(self.sample_rate(mean_nf, generator), generator=generator)

    def sample_rate(self, mean_nf: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw gamma-distributed rates, shape ``(n, f)``."""
        r = self.dispersion.expand_as(mean_nf)
        return sample_gamma(r, generator) * mean_nf / r

    def distribution_parameters(self, mean_nf: Tensor) -> dict[str, Tensor]:
        """``mean`` and ``dispersions``, r."""
        return {"mean": mean_nf, "dispersions": self.dispersion.expand_as(mean_nf)}


class NegativeBinomialTerms(Terms):
    r"""Closed forms, with :math:`m = \mu / r` as the ratio.

    A zero contributes :math:`-r \log(1 + m)`. Its derivatives are :math:`-r\,m / (1 + m)` with
    respect to the log mean and :math:`m / (1 + m) - \log(1 + m)` with respect to r. A count x adds
    a term whose derivatives are :math:`x / (1 + m)` with respect to the log mean and
    :math:`\psi(x + r) - \psi(r) - x / (r (1 + m))` with respect to r.
    """

    scale_f: Tensor

    def __init__(self, likelihood: NegativeBinomial, learned: bool) -> None:
        super().__init__(likelihood, learned)
        r = likelihood.dispersion.detach()
        self.scale_f = r.to(torch.promote_types(r.dtype, torch.float32))
        self._by_r = torch.zeros_like(self.scale_f)

    def to(self, dtype: torch.dtype) -> Self:
        """Compute in this precision, including sums of derivatives."""
        self._by_r = self._by_r.to(dtype)
        return super().to(dtype)

    def evaluate(self, batch: Minibatch) -> None:
        """Fill the buffers of a minibatch by compiled code where possible, else in plain torch."""
        if can_evaluate_on_cpu(batch):
            self._by_r += evaluate_on_cpu(batch, self.scale_f)
        elif can_evaluate_on_cuda(batch):
            self._by_r += evaluate_on_cuda(batch, self.scale_f, self.learned)
        else:
            super().evaluate(batch)

    def zeros(self, ratio_kf: Tensor, weight_k: Tensor, scratch: Tensor) -> tuple[Tensor, Tensor]:
        """Closed form; derivatives with respect to mean and dispersion share ``m / (1 + m)``."""
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
        if values.is_cpu:
            log_coefficient, by_r = NBCoefficientTable(self.scale_f)(values, columns)
        else:  # the number of counts that are not in the table would have to be waited for
            r = self.scale_f[columns]
            log_coefficient, by_r = log_nb_coefficient(values, r), nb_coefficient_slope(values, r)
        if self.learned:
            self._by_r.index_add_(0, columns, by_r * weight)
            slope = self.slope(values, log_ratio, columns).mul_(weight)
            self._by_r -= torch.zeros_like(self._by_r).index_add_(0, columns, slope) / self.scale_f
        return log_coefficient.add_(values * nn.functional.logsigmoid(log_ratio))

    def parameter_gradients(self) -> list[Tensor]:
        """Derivative with respect to ``log_r``."""
        return [self._by_r * (self.scale_f - 1)]
