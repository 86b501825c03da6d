"""Protein counts with background."""

from __future__ import annotations

import math
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from ._base import Likelihood
from ._gamma import log_rising
from ._rows import Rows
from ._terms import Terms
from .negative_binomial import NegativeBinomial

softplus, logsigmoid = nn.functional.softplus, nn.functional.logsigmoid
# A level has to be free to leave all means on one side, where the mixture is one of its components,
# but from far beyond them nothing would lead it back.
_REACH = math.log(10)
# A sharper step than this is a wall, over which no descent finds its way.
_SHARPEST = 4.0
# A negative binomial's dispersion is above 1 by at least this.
_LEAST_EXCESS = 0.1


class Protein(Likelihood):
    r"""Background or foreground: a mixture of two negative binomials for each feature.

    .. math::
        p(x) = \pi\, NB(x; \beta, r_b) + (1 - \pi)\, NB(x; \phi, r_f),
        \qquad \pi = \frac{1}{1 + t^2}, \quad \beta = \frac{\mu}{1 + a t}, \quad
        \phi = \mu + \frac{a \mu}{t (1 + a t)}, \qquad t = (\mu / b)^s

    An antibody that binds nothing is counted all the same, up to a level :math:`b_j`. What is
    expected well below it is background, with a mean :math:`\beta` that is hardly anything but
    :math:`\mu`; what is expected well above it is foreground, with a mean :math:`\phi` that is
    hardly anything but :math:`\mu` either; in between it may be one or the other (totalVI's
    mixture, with one level by feature, and a share that follows from the mean). How wide this
    between is says the sharpness :math:`1 < s_j < 4`, and how far apart the two are there the
    contrast :math:`0 < a_j < 1`: of a protein that is expressed at any level it tends to 0, where
    both have the mean :math:`\mu`. The mean of the mixture is :math:`\mu` throughout. Levels are
    in counts, at the depth of the training cells.

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
    default_for: ClassVar[frozenset[str]] = frozenset(
        {"prot", "protein", "proteins", "protein_expression", "adt", "antibody capture"}
    )
    has_background: ClassVar[bool] = True

    def __init__(self, n_features: int, level: float = 10.0) -> None:
        super().__init__(n_features)
        if not level > 0:
            raise ValueError(f"`level` must be above 0, found {level}.")
        self.register_buffer("log_anchor", torch.full((n_features,), math.log(level)))
        self.level_shift = nn.Parameter(torch.zeros(n_features))
        self.log_r_background = nn.Parameter(torch.full((n_features,), math.log(2.0)))
        self.log_r_foreground = nn.Parameter(torch.full((n_features,), math.log(2.0)))
        self.logit_sharpness = nn.Parameter(torch.full((n_features,), -2.0))
        self.logit_contrast = nn.Parameter(torch.full((n_features,), 1.5))

    @property
    def sharpness(self) -> Tensor:
        """Exponent s of each feature, shape ``(f,)``."""
        return 1 + (_SHARPEST - 1) * self.logit_sharpness.sigmoid()

    @property
    def contrast(self) -> Tensor:
        """Contrast a of each feature, shape ``(f,)``."""
        return self.logit_contrast.sigmoid()

    @property
    def log_level(self) -> Tensor:
        """Logarithm of each level, shape ``(f,)``."""
        return self.log_anchor + _REACH * torch.tanh(self.level_shift / _REACH)

    def _at(self, log_mean: Tensor, columns: Tensor | None = None) -> _Components:
        """Both components at means of all features, ``(n, f)``, or of the given columns."""
        by_feature = torch.stack(
            [
                self.log_level,
                self.sharpness,
                logsigmoid(self.logit_contrast),
                self.log_r_background,
                self.log_r_foreground,
            ]
        )
        if columns is not None:
            by_feature = by_feature.index_select(1, columns)
        level, sharpness, contrast, *log_r = by_feature.to(log_mean)
        r = torch.stack(log_r).exp()
        r = r if columns is not None else r[:, None]
        return _components(log_mean, level, sharpness, contrast, r)

    @torch.no_grad()
    def initialize(self, mean_f: Tensor) -> None:
        """Start levels at the mean counts, which lie between background and foreground."""
        self.log_anchor.copy_(_log(mean_f.to(self.log_anchor)))

    @torch.no_grad()
    def unimodal(self) -> Likelihood:
        """A negative binomial that scatters as the component with less scatter does.

        A mixture takes any count for one component's outlier where the other is far, and does
        not pull there; this one pulls wherever the search begins.
        """
        found = NegativeBinomial(self.n_features).to(self.log_r_background)
        log_r = torch.maximum(self.log_r_background, self.log_r_foreground)
        found.log_r.copy_(torch.expm1(log_r).clamp(min=_LEAST_EXCESS).log())
        return found.requires_grad_(False)

    def terms(self, learned: bool) -> Terms:
        """Everything from one dense evaluation."""
        return ProteinTerms(self, learned)

    def log_prob_counts(self, x_nf: Tensor, log_mean_nf: Tensor) -> Tensor:
        """Log-probability of each count (nats), shape ``(n, f)``.

        Parameters
        ----------
        x_nf
            Counts, shape ``(n, f)``.
        log_mean_nf
            Logarithms of their means, shape ``(n, f)``.
        """
        at = self._at(log_mean_nf)
        return at.mixed(at.log_zero + at.log_count(x_nf))

    def log_prob_zero(self, mean_nf: Tensor) -> Tensor:
        """Log-probability of zeros (nats), shape ``(n, f)``."""
        at = self._at(_log(mean_nf))
        return at.mixed(at.log_zero).where(mean_nf > 0, 0)

    def log_ratio_to_zero(self, values: Tensor, log_mean: Tensor, columns: Tensor) -> Tensor:
        """``log p(count) - log p(0)`` (nats), shape ``(nnz,)``."""
        at = self._at(log_mean, columns)
        zero = at.log_share + at.log_zero
        return (zero + at.log_count(values)).logsumexp(0) - zero.logsumexp(0)

    def fisher(self, mean_nf: Tensor) -> Tensor:
        """Information about the log mean if background were known as such, shape ``(n, f)``.

        A little more than there is in the count alone, which has no closed form.
        """
        at = self._at(_log(mean_nf))
        share, mean = at.log_share.exp(), at.log_mean.exp()
        of_counts = (share * at.elasticity**2 * mean * at.r / (mean + at.r)).sum(0)
        return of_counts + (2 * self.sharpness) ** 2 * share.prod(0)

    def sample(self, mean_nf: Tensor) -> Tensor:
        """Draw background or foreground, then its count, shape ``(n, f)``."""
        at = self._at(_log(mean_nf))
        is_background = torch.rand_like(mean_nf) < at.log_share[0].exp()
        mean = torch.where(is_background, at.log_mean[0], at.log_mean[1]).exp()
        r_nf = torch.where(is_background, at.r[0], at.r[1])
        rate = torch.distributions.Gamma(r_nf, torch.ones_like(r_nf)).sample()
        return torch.poisson(rate * mean / r_nf)

    def foreground_probability(self, mean_nf: Tensor, counts_nf: Tensor | None = None) -> Tensor:
        r"""``1 - pi``, or given the counts ``(1 - pi) NB(x; phi, r_f) / p(x)``."""
        at = self._at(_log(mean_nf))
        log_prob = at.log_share
        if counts_nf is not None:
            log_prob = log_prob + at.log_zero + at.log_count(counts_nf)
        return log_prob.softmax(0)[1]

    def foreground_mean(self, mean_nf: Tensor) -> Tensor:
        """``(1 - pi) phi``, which is the mean without ``pi beta``."""
        at = self._at(_log(mean_nf))
        return (at.log_share + at.log_mean)[1].exp()


class ProteinTerms(Terms):
    """All counts at once: there are few proteins, and most of their counts are not zero.

    Evaluated by autograd, once, where zeros and non-zeros apart would need it three times.
    """

    likelihood: Protein

    def evaluate(self, rows: Rows) -> None:
        """Fill what is wanted of a minibatch, whose cells weigh the same if a gradient is."""
        is_wanted = rows.gradient_nf is not None
        library_n1 = rows.library_n[:, None]
        with torch.set_grad_enabled(is_wanted or self.learned):
            logits_nf = rows.logits_nf.detach().to(library_n1).requires_grad_(is_wanted)
            shifted_nf = logits_nf if rows.shift_f is None else logits_nf + rows.shift_f
            log_mean_nf = shifted_nf.log_softmax(1) + _log(library_n1)
            log_prob_nf = self.likelihood.log_prob_counts(
                rows.counts.to_dense().to(library_n1), log_mean_nf
            )
            # A cell in which no protein was measured says nothing.
            value_n = log_prob_nf.where(library_n1 > 0, 0).sum(1)
        rows.value_n.copy_(value_n.detach())
        leaves = [logits_nf] if is_wanted else []
        leaves += list(self.likelihood.parameters()) if self.learned else []
        if not leaves:
            return
        found = list(torch.autograd.grad(value_n, leaves, rows.weight_n))
        if rows.gradient_nf is not None:
            rows.gradient_nf.copy_(found.pop(0))
        if self.learned:
            self._sums = [total + part for total, part in zip(self._sums, found, strict=True)]


class _Components(NamedTuple):
    """Of background and foreground, shape ``(2, ...)`` each.

    ``elasticity`` is the derivative of a component's log mean by that of the mixture.
    """

    log_share: Tensor
    log_mean: Tensor
    elasticity: Tensor
    r: Tensor

    @property
    def log_zero(self) -> Tensor:
        return -self.r * softplus(self.log_mean - self.r.log())

    def mixed(self, log_prob: Tensor) -> Tensor:
        """Log-probability of the mixture by those of both components."""
        # Shares sum to 1 but for rounding, which a mean of 0 must not see.
        return (self.log_share + log_prob).logsumexp(0) - self.log_share.logsumexp(0)

    def log_count(self, values: Tensor) -> Tensor:
        """What a count adds to the zero's log-probability."""
        slope = logsigmoid(self.log_mean - self.r.log())
        return log_rising(values, self.r.expand_as(slope)) + values * slope


def _components(
    log_mean: Tensor, log_level: Tensor, sharpness: Tensor, log_contrast: Tensor, r: Tensor
) -> _Components:
    log_t = sharpness * (log_mean - log_level)
    log_below = logsigmoid(-log_t - log_contrast)
    # phi = mu + a mu / (t (1 + a t)): as a sum of logarithms neither part can overflow.
    log_excess = log_mean + log_contrast - log_t + log_below
    log_foreground = torch.logaddexp(log_mean, log_excess)
    above = -torch.expm1(log_below)
    of_excess = (log_excess - log_foreground).exp() * (1 + above)
    return _Components(
        log_share=torch.stack([logsigmoid(-2 * log_t), logsigmoid(2 * log_t)]),
        log_mean=torch.stack([log_mean + log_below, log_foreground]),
        elasticity=1 - sharpness * torch.stack([above, of_excess]),
        r=r,
    )


def _log(mean: Tensor) -> Tensor:
    return mean.clamp(min=torch.finfo(mean.dtype).tiny).log()
