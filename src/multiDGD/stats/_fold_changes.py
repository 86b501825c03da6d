"""Posterior of the fold changes of many features between two groups of cells."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor

from ._group_rates import GroupRates

# Steps of the grid, in log2, and where it ends.
_STEP = 0.04
_LARGEST = 10.0
# Standard deviations of the prior's components: from this one on, by factors of the root of 2.
_SMALLEST_SD = 0.1
_N_SDS = 12
# Standard deviation of the normal prior on the most usual fold change, in log2, and from about how
# many features it is found.
_MODE_SD = 0.25
_MANY = 2000
# Features whose posteriors are held at once.
_AT_ONCE = 2048
# Degrees of freedom from which on Student's t is normal.
_NORMAL_DF = 1e5
_MAX_STEPS = 1000
_TOLERANCE = 1e-5


class FoldChanges:
    r"""Posterior of :math:`\theta_j = \log_2 y_{1j} - \log_2 y_{2j}` for each feature j.

    In which of two groups a count of the feature was made is a binomial question, with the odds
    :math:`2^{\theta_j} T_{1j} / T_{2j}` for exposures T, whatever its mean: this is the likelihood
    of the fold change, and holds for the rarest features too. Where T are estimates, it gets the
    tails of Student's t, with Welch's degrees of freedom. The prior is a mixture of the most usual
    fold change and of normal distributions around it, found from all features by maximum
    likelihood (adaptive shrinkage; Stephens, Biostatistics 18:275, 2017). What is usual is not
    quite 0, since shares add up to one: where some rise all others fall. Fold changes lie on a grid
    with steps of 0.04, which is also the least uncertainty.

    Parameters
    ----------
    rates1, rates2
        Of the two groups.

    Attributes
    ----------
    grid
        Fold changes, shape ``(g,)``.
    mode
        The most usual one.
    weights
        Share of the features of each component of the prior, shape ``(k,)``; the first has the
        mode alone, the others are normal distributions around it, from narrow to wide.

    Examples
    --------
    >>> import torch
    >>> from multiDGD.stats import FoldChanges, GroupRates
    >>> exposure = torch.full((3,), 1e5)
    >>> control = GroupRates(torch.tensor([0.01, 0.02, 0.03]), exposure, df=100)
    >>> treated = GroupRates(torch.tensor([0.01, 0.04, 0.03]), exposure, df=100)
    >>> FoldChanges(treated, control).summary(delta=0.25)["proba_up"].round().tolist()
    [0.0, 1.0, 0.0]
    """

    def __init__(self, rates1: GroupRates, rates2: GroupRates) -> None:
        n_steps = round(_LARGEST / _STEP)
        self.grid = torch.arange(-n_steps, n_steps + 1) * _STEP
        counts = [(r.rate * r.exposure).float() for r in (rates1, rates2)]
        variance = 1 / counts[0] + 1 / counts[1]
        # Nothing is known better than the grid can hold.
        most = (variance / (math.log(2) * _STEP) ** 2).clamp(max=1)
        self._counts = [most * count for count in counts]
        self._log_odds = (rates1.exposure.log() - rates2.exposure.log()).float()
        self._df = _welch(counts, [rates1.df, rates2.df])
        self.mode = self._find_mode()
        self._prior_kg = self._components(self.mode)
        self.weights, _ = _fit(self._marginals(self._prior_kg, slice(None)))

    def _components(self, mode: float) -> Tensor:
        """Components of the prior on the grid, shape ``(k, g)``."""
        sds = _SMALLEST_SD * math.sqrt(2) ** torch.arange(_N_SDS)
        away = self.grid - mode
        normal = torch.exp(-0.5 * (away / sds[:, None]).square())
        alone = (away.abs() < _STEP / 2).float()[None]
        return torch.cat([alone, normal / normal.sum(1, keepdim=True)])

    def _find_mode(self) -> float:
        """The mode of the most likely prior, by steps of the grid."""
        n = len(self._log_odds)
        some = slice(0, n, max(n // _MANY, 1))

        @cache
        def score(step: int) -> float:
            mode = step * _STEP
            _, log_prob = _fit(self._marginals(self._components(mode), some))
            return log_prob - 0.5 * (mode / _MODE_SD) ** 2

        best, stride = 0, 4
        while stride:
            found = max((best, best - stride, best + stride), key=score)
            if found == best or abs(found) * _STEP > _LARGEST / 4:
                stride //= 2
            else:
                best = found
        return best * _STEP

    def _likelihoods(self, some: slice = slice(None)) -> Iterator[Tensor]:
        """Likelihood on the grid of some features after others, at most 1."""
        natural = self.grid * math.log(2)
        for here in torch.arange(len(self._log_odds))[some].split(_AT_ONCE):
            odds = self._log_odds[here, None] + natural
            count1, count2 = (count[here, None] for count in self._counts)
            log_prob = (count1 + count2) * torch.nn.functional.logsigmoid(odds) - count2 * odds
            below = log_prob.amax(1, keepdim=True) - log_prob
            df = self._df[here, None]
            yield torch.exp(-(df + 1) / 2 * torch.log1p(2 * below / df))

    def _marginals(self, components_kg: Tensor, some: slice) -> Tensor:
        """Likelihood of some features under each component, shape ``(some, k)``."""
        parts = [likelihood @ components_kg.T for likelihood in self._likelihoods(some)]
        # A feature that fits none would have no say, and no finite logarithm.
        return torch.cat(parts).double().clamp(min=1e-300)

    def posteriors(self) -> Iterator[Tensor]:
        """Posterior on the grid of some features after others, shape ``(some, g)``."""
        prior = self.weights @ self._prior_kg
        for likelihood in self._likelihoods():
            joint = likelihood * prior
            yield joint / joint.sum(1, keepdim=True)

    def summary(self, delta: float, levels: Sequence[float] = ()) -> dict[str, np.ndarray]:
        """Moments and probabilities of each feature's fold change.

        Parameters
        ----------
        delta
            Fold change (log2) up to which nothing has changed.
        levels
            Probabilities that credible intervals are to hold.

        Returns
        -------
        ``mean``, ``median`` and ``std``; ``proba_up`` and ``proba_down``, of more than ``delta``,
        and ``proba_none``, of no more;
        ``confidence_interval_{level}_min`` and ``_max``; shape ``(f,)`` each.
        """
        # Steps are not exact in binary.
        limit = delta + _STEP / 100
        quantiles = {"median": 0.5}
        for level in levels:
            quantiles[f"confidence_interval_{level}_min"] = (1 - level) / 2
            quantiles[f"confidence_interval_{level}_max"] = (1 + level) / 2
        found: dict[str, list[Tensor]] = {}

        def add(name: str, values: Tensor) -> None:
            found.setdefault(name, []).append(values)

        for posterior in self.posteriors():
            mean = posterior @ self.grid
            add("mean", mean)
            add("std", (posterior @ self.grid.square() - mean.square()).clamp(min=0).sqrt())
            add("proba_up", posterior[:, self.grid > limit].sum(1))
            add("proba_down", posterior[:, self.grid < -limit].sum(1))
            add("proba_none", posterior[:, self.grid.abs() <= limit].sum(1))
            cumulative = posterior.cumsum(1)
            for name, level in quantiles.items():
                at = (cumulative < level).sum(1).clamp(max=len(self.grid) - 1)
                add(name, self.grid[at])
        return {name: torch.cat(parts).double().numpy() for name, parts in found.items()}


def _fit(marginal_fk: Tensor) -> tuple[Tensor, float]:
    """Weights of a mixture by expectation maximisation, and its log-likelihood (nats)."""
    weights = torch.full_like(marginal_fk[0], 1 / marginal_fk.shape[1])
    for _ in range(_MAX_STEPS):
        joint = marginal_fk * weights
        found = (joint / joint.sum(1, keepdim=True)).mean(0)
        change = (found - weights).abs().max()
        weights = found
        if change < _TOLERANCE:
            break
    return weights.float(), float((marginal_fk @ weights).log().sum())


def _welch(counts: Sequence[Tensor], df: Sequence[float]) -> Tensor:
    """Degrees of freedom of the log ratio of two counts (Welch, Biometrika 34:28, 1947)."""
    # Half a count more, so that none at all has a variance.
    variances = [1 / (count + 0.5) for count in counts]
    parts = sum(v.square() / d for v, d in zip(variances, df, strict=True))
    return ((variances[0] + variances[1]).square() / parts).clamp(max=_NORMAL_DF)
