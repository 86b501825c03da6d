"""Protein counts with background."""

from __future__ import annotations

import math
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from ._base import Likelihood
from ._gamma import log_rising

softplus, logsigmoid = nn.functional.softplus, nn.functional.logsigmoid
# A level has to be free to leave all means on one side, where the mixture is one of its components,
# but from far beyond them nothing would lead it back.
_REACH = math.log(10)


class Protein(Likelihood):
    r"""Background or foreground: a mixture of two negative binomials for each feature.

    .. math::
        p(x) = \pi\, NB(x; \beta, r_b) + (1 - \pi)\, NB(x; \phi, r_f),
        \qquad \pi = \frac{b^2}{b^2 + \mu^2}, \quad \beta = \frac{b\,\mu}{b + \mu}, \quad
        \phi = \mu + \frac{b^2}{b + \mu}

    An antibody that binds nothing is counted all the same, up to a level :math:`b_j`. What is
    expected well below it is background, with a mean :math:`\beta < b`; what is expected well
    above it is foreground, with a mean :math:`\phi` that is hardly anything but :math:`\mu`; in
    between it may be either (totalVI's mixture, with one level by feature, and a share that
    follows from the mean). The mean of the mixture is :math:`\mu` throughout. Levels are in
    counts, at the depth of the training cells.

    Background scatters more than foreground does relative to its mean, or less, by the two
    dispersions; one that is the same for all means has to make do with a compromise.

    Parameters
    ----------
    n_features
        Number of features f.
    level
        Start of every b, in counts, from which it moves by a factor of ten at most;
        :meth:`initialize` takes the features' mean counts.

    Raises
    ------
    ValueError
        If ``level`` is not above 0.

    Examples
    --------
    >>> import torch
    >>> from multiDGD.nn import get_likelihood
    >>> protein = get_likelihood("protein")(n_features=3)
    >>> protein.log_prob(torch.zeros(1, 3), torch.tensor([[0.0, 20.0, 1.0]])).shape
    torch.Size([1])
    >>> counts, mean = torch.tensor([[0.0, 20.0, 1.0]]), torch.tensor([[1.0, 20.0, 20.0]])
    >>> (protein.foreground_probability(mean, counts) > 0.5).tolist()
    [[False, True, False]]
    """

    log_anchor: Tensor

    name: ClassVar[str] = "protein"
    has_background: ClassVar[bool] = True

    def __init__(self, n_features: int, level: float = 10.0) -> None:
        super().__init__(n_features)
        if not level > 0:
            raise ValueError(f"`level` must be above 0, found {level}.")
        self.register_buffer("log_anchor", torch.full((n_features,), math.log(level)))
        self.level_shift = nn.Parameter(torch.zeros(n_features))
        self.log_r_background = nn.Parameter(torch.full((n_features,), math.log(2.0)))
        self.log_r_foreground = nn.Parameter(torch.full((n_features,), math.log(2.0)))

    @property
    def log_level(self) -> Tensor:
        """Logarithm of each level, shape ``(f,)``."""
        return self.log_anchor + _REACH * torch.tanh(self.level_shift / _REACH)

    def _parameters_at(self, columns: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Log level, and dispersions of both components, of all features or of each column."""
        by_feature = torch.stack([self.log_level, self.log_r_background, self.log_r_foreground])
        if columns is not None:
            by_feature = by_feature.index_select(1, columns)
        return by_feature[0], by_feature[1:].exp()

    @torch.no_grad()
    def initialize(self, mean_f: Tensor) -> None:
        """Start levels at the mean counts, which lie between background and foreground."""
        self.log_anchor.copy_(_log(mean_f.to(self.log_anchor)))

    def log_prob_zero(self, mean_nf: Tensor) -> Tensor:
        """Log-probability of zeros (nats), shape ``(n, f)``."""
        log_level, r = self._parameters_at()
        at = _components(_log(mean_nf), log_level)
        zero = at.log_share - r[:, None] * softplus(at.log_mean - r.log()[:, None])
        # Shares sum to 1 but for rounding, which a mean of 0 must not see.
        value_nf = zero.logsumexp(0) - at.log_share.logsumexp(0)
        return value_nf.where(mean_nf > 0, 0)

    def log_ratio_to_zero(self, values: Tensor, log_mean: Tensor, columns: Tensor) -> Tensor:
        """``log p(count) - log p(0)`` (nats), shape ``(nnz,)``."""
        log_level, r = (x.to(values) for x in self._parameters_at(columns))
        at = _components(log_mean, log_level)
        log_ratio = at.log_mean - r.log()
        zero = at.log_share - r * softplus(log_ratio)
        return (zero + _count(values, r, log_ratio)).logsumexp(0) - zero.logsumexp(0)

    def fisher(self, mean_nf: Tensor) -> Tensor:
        """Information about the log mean if background were known as such, shape ``(n, f)``.

        A little more than there is in the count alone, which has no closed form.
        """
        log_level, r = self._parameters_at()
        at = _components(_log(mean_nf), log_level)
        share, mean, r = at.log_share.exp(), at.log_mean.exp(), r[:, None]
        of_counts = (share * at.elasticity**2 * mean * r / (mean + r)).sum(0)
        return of_counts + 4 * share.prod(0)

    def sample(self, mean_nf: Tensor) -> Tensor:
        """Draw background or foreground, then its count, shape ``(n, f)``."""
        log_level, r = self._parameters_at()
        at = _components(_log(mean_nf), log_level)
        is_background = torch.rand_like(mean_nf) < at.log_share[0].exp()
        mean = torch.where(is_background, at.log_mean[0], at.log_mean[1]).exp()
        r_nf = torch.where(is_background, r[0], r[1])
        rate = torch.distributions.Gamma(r_nf, torch.ones_like(r_nf)).sample()
        return torch.poisson(rate * mean / r_nf)

    def foreground_probability(self, mean_nf: Tensor, counts_nf: Tensor | None = None) -> Tensor:
        r"""``1 - pi``, or given the counts ``(1 - pi) NB(x; phi, r_f) / p(x)``."""
        log_level, r = self._parameters_at()
        at = _components(_log(mean_nf), log_level)
        log_prob = at.log_share
        if counts_nf is not None:
            r = r[:, None]
            log_ratio = at.log_mean - r.log()
            log_prob = log_prob - r * softplus(log_ratio) + _count(counts_nf, r, log_ratio)
        return log_prob.softmax(0)[1]

    def foreground_mean(self, mean_nf: Tensor) -> Tensor:
        """``(1 - pi) phi``, which is the mean without ``pi beta``."""
        log_level, _ = self._parameters_at()
        at = _components(_log(mean_nf), log_level)
        return (at.log_share + at.log_mean)[1].exp()


class _Components(NamedTuple):
    """Of background and foreground, shape ``(2, ...)`` each.

    ``elasticity`` is the derivative of a component's log mean by that of the mixture.
    """

    log_share: Tensor
    log_mean: Tensor
    elasticity: Tensor


def _components(log_mean: Tensor, log_level: Tensor) -> _Components:
    distance = log_mean - log_level
    log_above, log_below = logsigmoid(distance), logsigmoid(-distance)
    below = log_below.exp()
    # phi = mu + b (b / (b + mu)): as a sum of logarithms neither part can overflow.
    foreground = torch.logaddexp(log_mean, log_level + log_below)
    of_mean = (log_mean - foreground).exp() * (1 - below.square())
    return _Components(
        log_share=torch.stack([logsigmoid(-2 * distance), logsigmoid(2 * distance)]),
        log_mean=torch.stack([log_level + log_above, foreground]),
        elasticity=torch.stack([below, of_mean]),
    )


def _log(mean: Tensor) -> Tensor:
    return mean.clamp(min=torch.finfo(mean.dtype).tiny).log()


def _count(values: Tensor, r: Tensor, log_ratio: Tensor) -> Tensor:
    """What a count adds to the zero's log-probability."""
    return log_rising(values, r) + values * logsigmoid(log_ratio)
