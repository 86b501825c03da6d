"""Protein counts with background."""

from __future__ import annotations

import math
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from ._base import Likelihood
from ._gamma import sample_gamma
from ._minibatch import Minibatch
from ._nb_coefficient import log_nb_coefficient
from ._terms import Terms
from .negative_binomial import NegativeBinomial

softplus, logsigmoid = nn.functional.softplus, nn.functional.logsigmoid
# Largest change of a log level. A level may leave all means on one side, where the mixture is one
# of its components, but its gradient would vanish at a much larger distance.
_MAX_LEVEL_SHIFT = math.log(10)
# A steeper transition would be a barrier to gradient descent.
_MAX_SHARPNESS = 4.0
# Lower bound of a negative binomial's dispersion, minus 1.
_MIN_EXCESS = 0.1


class Protein(Likelihood):
    r"""Mixture of background and foreground, two negative binomials for each feature.

    .. math::
        p(x) = \pi\, NB(x; \beta, r_b) + (1 - \pi)\, NB(x; \phi, r_f),
        \qquad \pi = \frac{1}{1 + t^2}, \quad \beta = \frac{\mu}{1 + a t}, \quad
        \phi = \mu + \frac{a \mu}{t (1 + a t)}, \qquad t = (\mu / b)^s

    An antibody is counted even in cells without its protein, up to a level :math:`b_j`. If the
    mean :math:`\mu` is well below the level, counts are background and :math:`\beta \approx \mu`.
    If it is well above the level, counts are foreground and :math:`\phi \approx \mu`. In between,
    a count may be either. This is totalVI's mixture with one level per feature and a mixture
    weight that depends on the mean.

    The sharpness :math:`1 < s_j < 4` sets the width of the transition, and the contrast
    :math:`0 < a_j < 1` the difference of the two means there. For a protein with a continuous
    range of expression, the contrast tends to 0, at which both means are :math:`\mu`. The mean of
    the mixture is always :math:`\mu`. Levels are in counts, at the library sizes of the training
    cells.

    Relative to its mean, background may vary more or less than foreground. Each has its own
    dispersion, since a single one would be a compromise.

    Parameters
    ----------
    n_features
        Number of features f.
    level
        Initial value of every b, in counts. Training changes it by at most a factor of ten.
        :meth:`initialize` sets it to the features' mean counts.

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
        {
            "prot",
            "protein",
            "proteins",
            "protein_expression",
            "adt",
            "antibody",
            "antibodies",
            "antibody capture",
        }
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
        return 1 + (_MAX_SHARPNESS - 1) * self.logit_sharpness.sigmoid()

    @property
    def contrast(self) -> Tensor:
        """Contrast a of each feature, shape ``(f,)``."""
        return self.logit_contrast.sigmoid()

    @property
    def log_level(self) -> Tensor:
        """Logarithm of each level, shape ``(f,)``."""
        return self.log_anchor + _MAX_LEVEL_SHIFT * torch.tanh(self.level_shift / _MAX_LEVEL_SHIFT)

    def _components_at(self, log_mean: Tensor, columns: Tensor | None = None) -> _Components:
        """Both components at means of all features, shape ``(n, f)``, or of the given columns."""
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
        return _make_components(log_mean, level, sharpness, contrast, r)

    @torch.no_grad()
    def initialize(self, mean_f: Tensor) -> None:
        """Initialise levels with the mean counts, which lie between background and foreground."""
        self.log_anchor.copy_(_log(mean_f.to(self.log_anchor)))

    @torch.no_grad()
    def surrogate(self) -> Likelihood:
        """Return a negative binomial with the larger r of the two components.

        Far from one component, the mixture treats a count as an outlier of the other one, and its
        gradient vanishes. The surrogate has a gradient at every starting point.
        """
        surrogate = NegativeBinomial(self.n_features).to(self.log_r_background)
        log_r = torch.maximum(self.log_r_background, self.log_r_foreground)
        surrogate.mean_function = self.mean_function
        surrogate.log_r.copy_(torch.expm1(log_r).clamp(min=_MIN_EXCESS).log())
        return surrogate.requires_grad_(False)

    def terms(self, learned: bool) -> Terms:
        """Evaluation of all counts at once, from a dense matrix."""
        return ProteinTerms(self, learned)

    def log_prob_counts(self, x_nf: Tensor, log_mean_nf: Tensor) -> Tensor:
        """Log-probability of each count (nats), shape ``(n, f)``.

        Parameters
        ----------
        x_nf
            Counts, shape ``(n, f)``.
        log_mean_nf
            Logarithms of the counts' means, shape ``(n, f)``.
        """
        both = self._components_at(log_mean_nf)
        return both.mixture_log_prob(both.log_prob_zero + both.log_ratio_to_zero(x_nf))

    def log_prob_zero(self, mean_nf: Tensor) -> Tensor:
        """Log-probability of zeros (nats), shape ``(n, f)``."""
        both = self._components_at(_log(mean_nf))
        return both.mixture_log_prob(both.log_prob_zero).where(mean_nf > 0, 0)

    def log_ratio_to_zero(self, values: Tensor, log_mean: Tensor, columns: Tensor) -> Tensor:
        """``log p(count) - log p(0)`` (nats), shape ``(nnz,)``."""
        both = self._components_at(log_mean, columns)
        zero = both.log_weight + both.log_prob_zero
        return (zero + both.log_ratio_to_zero(values)).logsumexp(0) - zero.logsumexp(0)

    def fisher(self, mean_nf: Tensor) -> Tensor:
        """Information about the log mean if components were known, shape ``(n, f)``.

        It is slightly larger than the information of the counts alone, which has no closed form.
        """
        both = self._components_at(_log(mean_nf))
        # In logarithms: the mean of an improbable foreground can overflow.
        log_r = both.r.log()
        log_information = log_r + both.log_mean - torch.logaddexp(log_r, both.log_mean)
        information = both.elasticity**2 * (both.log_weight + log_information).exp()
        return information.sum(0) + (2 * self.sharpness) ** 2 * both.log_weight.exp().prod(0)

    def sample(self, mean_nf: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw a component, background or foreground, then its count, shape ``(n, f)``."""
        return torch.poisson(self.sample_rate(mean_nf, generator), generator=generator)

    def sample_rate(self, mean_nf: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw a component, background or foreground, then its rate, shape ``(n, f)``."""
        both = self._components_at(_log(mean_nf))
        uniform = torch.empty_like(mean_nf).uniform_(generator=generator)
        is_background = uniform < both.log_weight[0].exp()
        mean = torch.where(is_background, both.log_mean[0], both.log_mean[1]).exp()
        r_nf = torch.where(is_background, both.r[0], both.r[1])
        return sample_gamma(r_nf, generator) * mean / r_nf

    def distribution_parameters(self, mean_nf: Tensor) -> dict[str, Tensor]:
        """``mean``, ``mixing``, and the mean and dispersion of both components.

        ``mixing`` is the probability of the background.
        """
        both = self._components_at(_log(mean_nf))
        background, foreground = both.log_mean.exp()
        r_background, r_foreground = both.r.expand_as(both.log_mean)
        return {
            "mean": mean_nf,
            "mixing": both.log_weight[0].exp(),
            "mean_background": background,
            "mean_foreground": foreground,
            "dispersions_background": r_background,
            "dispersions_foreground": r_foreground,
        }

    def posterior_mean(self, mean_nf: Tensor, counts_nf: Tensor) -> Tensor:
        r"""Posterior mean of the rate over both components, shape ``(n, f)``.

        Each component has the posterior mean of a negative binomial,
        :math:`\mu_k (x + r_k) / (\mu_k + r_k)`, and its posterior probability as weight.
        """
        both = self._components_at(_log(mean_nf))
        log_prob = both.log_weight + both.log_prob_zero + both.log_ratio_to_zero(counts_nf)
        rate = (counts_nf + both.r) * (both.log_mean - both.r.log()).sigmoid()
        return (log_prob.softmax(0) * rate).sum(0)

    def foreground_probability(self, mean_nf: Tensor, counts_nf: Tensor | None = None) -> Tensor:
        r"""``1 - pi``, or ``(1 - pi) NB(x; phi, r_f) / p(x)`` given counts, shape ``(n, f)``."""
        both = self._components_at(_log(mean_nf))
        log_prob = both.log_weight
        if counts_nf is not None:
            log_prob = log_prob + both.log_prob_zero + both.log_ratio_to_zero(counts_nf)
        return log_prob.softmax(0)[1]

    def foreground_mean(self, mean_nf: Tensor) -> Tensor:
        """``(1 - pi) phi``, the mean minus its background ``pi beta``, shape ``(n, f)``."""
        both = self._components_at(_log(mean_nf))
        return (both.log_weight + both.log_mean)[1].exp()


class ProteinTerms(Terms):
    """Evaluation of all counts at once, since proteins are few and most of their counts not zero.

    Automatic differentiation runs once. Zeros and non-zeros by themselves would need three runs.
    """

    likelihood: Protein

    def evaluate(self, batch: Minibatch) -> None:
        """Fill the buffers of a minibatch, whose weights are equal if it has a gradient buffer."""
        with_gradient = batch.gradient_nf is not None
        library_n1 = batch.library_n[:, None]
        with torch.set_grad_enabled(with_gradient or self.learned):
            logits_nf = batch.logits_nf.detach().to(library_n1).requires_grad_(with_gradient)
            shifted_nf = logits_nf if batch.shift_f is None else logits_nf + batch.shift_f
            log_mean_nf = shifted_nf.log_softmax(1) + _log(library_n1)
            log_prob_nf = self.likelihood.log_prob_counts(
                batch.counts.to_dense().to(library_n1), log_mean_nf
            )
            # A cell without measured proteins does not contribute.
            value_n = log_prob_nf.where(library_n1 > 0, 0).sum(1)
        batch.value_n.copy_(value_n.detach())
        leaves = [logits_nf] if with_gradient else []
        leaves += list(self.likelihood.parameters()) if self.learned else []
        if not leaves:
            return
        gradients = list(torch.autograd.grad(value_n, leaves, batch.weight_n))
        if batch.gradient_nf is not None:
            batch.gradient_nf.copy_(gradients.pop(0))
        if self.learned:
            self._sums = [total + part for total, part in zip(self._sums, gradients, strict=True)]


class _Components(NamedTuple):
    """Parameters of background and foreground, shape ``(2, ...)`` each.

    ``elasticity`` is the derivative of a component's log mean with respect to the mixture's.
    """

    log_weight: Tensor
    log_mean: Tensor
    elasticity: Tensor
    r: Tensor

    @property
    def log_prob_zero(self) -> Tensor:
        return -self.r * softplus(self.log_mean - self.r.log())

    def mixture_log_prob(self, log_prob: Tensor) -> Tensor:
        """Log-probability of the mixture, given those of both components."""
        # Subtract the rounding error of the weights' sum: a mean of 0 requires exactly 0.
        return (self.log_weight + log_prob).logsumexp(0) - self.log_weight.logsumexp(0)

    def log_ratio_to_zero(self, values: Tensor) -> Tensor:
        """``log p(count) - log p(0)`` of each component."""
        slope = logsigmoid(self.log_mean - self.r.log())
        return log_nb_coefficient(values, self.r.expand_as(slope)) + values * slope


def _make_components(
    log_mean: Tensor, log_level: Tensor, sharpness: Tensor, log_contrast: Tensor, r: Tensor
) -> _Components:
    log_t = sharpness * (log_mean - log_level)
    log_below = logsigmoid(-log_t - log_contrast)
    # phi = mu + a mu / (t (1 + a t)): in logarithms, neither term can overflow.
    log_excess = log_mean + log_contrast - log_t + log_below
    log_foreground = torch.logaddexp(log_mean, log_excess)
    above = -torch.expm1(log_below)
    excess_slope = (log_excess - log_foreground).exp() * (1 + above)
    return _Components(
        log_weight=torch.stack([logsigmoid(-2 * log_t), logsigmoid(2 * log_t)]),
        log_mean=torch.stack([log_mean + log_below, log_foreground]),
        elasticity=1 - sharpness * torch.stack([above, excess_slope]),
        r=r,
    )


def _log(mean: Tensor) -> Tensor:
    return mean.clamp(min=torch.finfo(mean.dtype).tiny).log()
