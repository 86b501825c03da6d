"""Posterior distribution of the fold changes of many features between two groups of cells."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Literal, TypeAlias, get_args

import numpy as np
import torch
from torch import Tensor

from multiDGD._checks import choice

from ._group_rates import GroupRates

Reference: TypeAlias = Literal["share", "median"]
# Step and limit of the grid, in log2.
_STEP = 0.04
_LIMIT = 10.0
# Standard deviations of the prior's normal components: the smallest one, then multiples by the
# square root of 2.
_SMALLEST_SD = 0.1
_N_SDS = 12
# Standard deviation of the normal prior of the most common fold change, in log2.
_MODE_SD = 0.25
# Approximate number of features in the search for the most common fold change.
_N_FOR_MODE = 2000
# Features whose posteriors are in memory at once.
_CHUNK_SIZE = 2048
# Degrees of freedom above which Student's t is practically normal.
_NORMAL_DF = 1e5
# Level of the interval whose limit ranks features.
_BOUND_LEVEL = 0.9
_MIN_LOG_PROBA = -1e5
_MAX_STEPS = 1000
_TOLERANCE = 1e-5


class FoldChanges:
    r"""Posterior of :math:`\theta_j = \log_2 y_{1j} - \log_2 y_{2j}` for each feature j.

    The likelihood of a fold change is binomial: each count of a feature belongs to one of the two
    groups. The odds of the first group are :math:`2^{\theta_j} T_{1j} / T_{2j}` for exposures T,
    whatever the mean. The likelihood is therefore valid even for the rarest features. To account
    for estimated T, it has the tails of Student's t with Welch's degrees of freedom.

    The prior is a mixture of a point mass at the most common fold change and of normal
    distributions around it. Maximum likelihood estimates it from all features (adaptive shrinkage;
    Stephens, Biostatistics 18:275, 2017). The most common fold change of shares is not exactly 0,
    because shares sum to one: if some increase, all others decrease. With ``reference="median"``,
    fold changes are relative to it. It is the median of the prior, which is symmetric, and is
    hardly affected by a few features with most of the counts. Fold changes are evaluated on a grid
    with steps of 0.04, which is also the smallest standard error.

    Parameters
    ----------
    rates1, rates2
        Rates of the two groups.
    reference
        Features without a change: ``"share"`` for the total of all features, ``"median"`` for the
        median of the prior, or positions of features for their total.

    Attributes
    ----------
    grid
        Fold changes relative to the reference in log2, shape ``(g,)``.
    reference
        Fold change of the reference's share in log2.
    mode
        Most common fold change relative to the reference in log2.
    weights
        Weight of each component of the prior, shape ``(k,)``. The first is the point mass at the
        mode, the others are normal distributions around it, from narrow to wide.

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

    def __init__(
        self,
        rates1: GroupRates,
        rates2: GroupRates,
        reference: Reference | Sequence[int] = "share",
    ) -> None:
        n_steps = round(_LIMIT / _STEP)
        self.grid = torch.arange(-n_steps, n_steps + 1, dtype=torch.float32) * _STEP
        # Without exposure in a group, the posterior of a feature is the prior.
        is_known = (rates1.exposure > 0) & (rates2.exposure > 0)
        counts = [(r.rate * r.exposure * is_known).float() for r in (rates1, rates2)]
        variance = 1 / counts[0] + 1 / counts[1]
        # The grid cannot represent standard errors below its step.
        scale = (variance / (math.log(2) * _STEP) ** 2).clamp(max=1)
        self._counts = [scale * count for count in counts]
        log_odds = (rates1.exposure.log() - rates2.exposure.log()).float()
        self._log_odds = log_odds.where(is_known, 0)
        self._df = _welch_df(counts, [rates1.df, rates2.df])
        self.reference = 0.0
        if isinstance(reference, str):
            choice("reference", reference, get_args(Reference), " or a list of positions")
            if reference == "median":
                self._refer_to(_median_change(rates1, rates2))
                self._refer_to(self._find_mode(sd=math.inf))
        else:
            chosen = torch.as_tensor(reference)
            totals = [float(r.rate[chosen].sum().clamp(min=1e-30)) for r in (rates1, rates2)]
            self._refer_to(math.log2(totals[0] / totals[1]))
        # The reference "median" is the mode itself.
        is_mode = isinstance(reference, str) and reference == "median"
        self.mode = 0.0 if is_mode else self._find_mode(sd=_MODE_SD)
        self._prior_kg = self._components(self.mode)
        weights, _ = _fit_weights(self._marginals(self._prior_kg, slice(None)), _uniform())
        self.weights = weights.float()

    def _components(self, mode: float) -> Tensor:
        """Components of the prior on the grid, shape ``(k, g)``."""
        sds = _SMALLEST_SD * math.sqrt(2) ** torch.arange(_N_SDS, dtype=torch.float32)
        deviation = self.grid - mode
        normal = torch.exp(-0.5 * (deviation / sds[:, None]).square())
        point_mass = (deviation.abs() < _STEP / 2).float()[None]
        return torch.cat([point_mass, normal / normal.sum(1, keepdim=True)])

    def _refer_to(self, fold_change: float) -> None:
        """Make fold changes relative to the given one."""
        self.reference += fold_change
        self._log_odds = self._log_odds + fold_change * math.log(2)

    def _find_mode(self, sd: float) -> float:
        """MAP estimate of the mode on the grid, by a local search from 0."""
        n = len(self._log_odds)
        subset = slice(0, n, max(n // _N_FOR_MODE, 1))
        weights = _uniform()

        @cache
        def score(step: int) -> float:
            nonlocal weights
            mode = step * _STEP
            weights, log_prob = _fit_weights(
                self._marginals(self._components(mode), subset),
                # A weight of 0 would remain 0.
                0.9 * weights + 0.1 * _uniform(),
            )
            return log_prob - 0.5 * (mode / sd) ** 2

        best, stride = 0, 4
        while stride:
            found = max((best, best - stride, best + stride), key=score)
            if found == best or abs(found) * _STEP > _LIMIT / 4:
                stride //= 2
            else:
                best = found
        return best * _STEP

    def _log_likelihoods(self, subset: slice = slice(None)) -> Iterator[Tensor]:
        """Log-likelihood on the grid relative to its maximum, for successive chunks of features."""
        log_fold = self.grid * math.log(2)
        for chunk in torch.arange(len(self._log_odds))[subset].split(_CHUNK_SIZE):
            log_odds = self._log_odds[chunk, None] + log_fold
            count1, count2 = (count[chunk, None] for count in self._counts)
            log_sigmoid = torch.nn.functional.logsigmoid(log_odds)
            log_prob = (count1 + count2) * log_sigmoid - count2 * log_odds
            decrease = log_prob.amax(1, keepdim=True) - log_prob
            df = self._df[chunk, None]
            yield -(df + 1) / 2 * torch.log1p(2 * decrease / df)

    def _marginals(self, components_kg: Tensor, subset: slice) -> Tensor:
        """Marginal likelihood of features under each component, shape ``(n_subset, k)``."""
        parts = [log_prob.exp() @ components_kg.T for log_prob in self._log_likelihoods(subset)]
        # The logarithm must be finite even if a feature is improbable under every component.
        return torch.cat(parts).double().clamp(min=1e-300)

    def log_posteriors(self) -> Iterator[Tensor]:
        """Log-posterior on the grid for successive chunks of features, shape ``(chunk, g)``."""
        log_prior = (self.weights.double() @ self._prior_kg.double()).log()
        for log_likelihood in self._log_likelihoods():
            yield (log_likelihood + log_prior).log_softmax(1)

    def summary(self, delta: float, levels: Sequence[float] = ()) -> dict[str, np.ndarray]:
        """Moments and probabilities of each feature's fold change relative to the reference.

        Parameters
        ----------
        delta
            Absolute fold change (log2) up to which a feature counts as unchanged.
        levels
            Probabilities of the credible intervals.

        Returns
        -------
        Arrays of shape ``(f,)`` by name: ``mean``, ``median`` and ``std``; ``bound``, the limit of
        the central 90 % interval that is nearer to 0, or 0 if the interval includes it; the limits
        ``confidence_interval_{level}_min`` and ``_max``; the log-probabilities (nats)
        ``log_proba_up`` and ``log_proba_down`` of a change by more than ``delta``, and
        ``log_proba_none`` of a smaller one; their exponentials ``proba_up``, ``proba_down`` and
        ``proba_none``.
        """
        # Multiples of the step are not exact in floating point.
        limit = delta + _STEP / 100
        regions = {
            "up": self.grid > limit,
            "down": self.grid < -limit,
            "none": self.grid.abs() <= limit,
        }
        quantiles = {"median": 0.5, "low": (1 - _BOUND_LEVEL) / 2, "high": (1 + _BOUND_LEVEL) / 2}
        for level in levels:
            quantiles[f"confidence_interval_{level}_min"] = (1 - level) / 2
            quantiles[f"confidence_interval_{level}_max"] = (1 + level) / 2
        found: dict[str, list[Tensor]] = {}

        def add(name: str, values: Tensor) -> None:
            found.setdefault(name, []).append(values)

        grid = self.grid.double()
        for log_posterior in self.log_posteriors():
            posterior = log_posterior.exp()
            mean = posterior @ grid
            add("mean", mean)
            add("std", (posterior @ grid.square() - mean.square()).clamp(min=0).sqrt())
            for name, region in regions.items():
                log_proba = log_posterior[:, region].logsumexp(1)
                # The logarithm must be finite even if all weights of a region are 0.
                add(f"log_proba_{name}", log_proba.clamp(min=_MIN_LOG_PROBA))
            cumulative = posterior.cumsum(1)
            for name, level in quantiles.items():
                at = (cumulative < level).sum(1).clamp(max=len(grid) - 1)
                add(name, grid[at])
        arrays = {name: torch.cat(parts).numpy() for name, parts in found.items()}
        low, high = arrays.pop("low"), arrays.pop("high")
        arrays["bound"] = np.maximum(low, 0) + np.minimum(high, 0)
        arrays |= {f"proba_{name}": np.exp(arrays[f"log_proba_{name}"]) for name in regions}
        return arrays


def _uniform() -> Tensor:
    """Equal weights of the components of the prior."""
    return torch.full((1 + _N_SDS,), 1 / (1 + _N_SDS), dtype=torch.float64)


def _median_change(rates1: GroupRates, rates2: GroupRates) -> float:
    """Median of the observed log2 fold changes, weighted by their expected precision.

    The precisions are those of equal shares in both groups, so that they do not depend on the
    errors of the fold changes. They include a variance of 1 between features, so that a feature
    with most of the counts does not have most of the weight.
    """
    counts = [r.rate * r.exposure for r in (rates1, rates2)]
    total = (rates1.exposure + rates2.exposure).clamp(min=torch.finfo(torch.float32).tiny)
    count = (counts[0] + counts[1]) * rates1.exposure * rates2.exposure / total.square()
    weight = count / (1 + count)
    change = [
        (count + 0.5).log2() - (r.exposure + 1).log2()
        for count, r in zip(counts, (rates1, rates2), strict=True)
    ]
    difference = change[0] - change[1]
    order = difference.argsort()
    cumulative = weight[order].cumsum(0)
    if not cumulative[-1] > 0:
        return 0.0
    return float(difference[order][(cumulative < cumulative[-1] / 2).sum()])


def _fit_weights(marginal_fk: Tensor, start_k: Tensor) -> tuple[Tensor, float]:
    """Maximum likelihood weights of a mixture by EM, and their log-likelihood (nats)."""
    weights = start_k
    for _ in range(_MAX_STEPS):
        updated = weights * (marginal_fk.T @ (1 / (marginal_fk @ weights))) / len(marginal_fk)
        change = (updated - weights).abs().max()
        weights = updated
        if change < _TOLERANCE:
            break
    return weights, float((marginal_fk @ weights).log().sum())


def _welch_df(counts: Sequence[Tensor], df: Sequence[float | Tensor]) -> Tensor:
    """Degrees of freedom of the log ratio of two counts (Welch, Biometrika 34:28, 1947)."""
    # The additional half count keeps the variance of a count of 0 finite.
    variances = [1 / (count + 0.5) for count in counts]
    parts = sum(v.square() / d for v, d in zip(variances, df, strict=True))
    return ((variances[0] + variances[1]).square() / parts).clamp(max=_NORMAL_DF).float()
