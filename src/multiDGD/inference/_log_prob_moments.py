"""Moments of the log-likelihood of counts that follow the likelihood."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from multiDGD.nn import Likelihood

# Log means of the table. Below the first one, moments are proportional to the mean.
_LOWEST, _STEP, _N_LEVELS = math.log(1e-6), 0.125, 256
# Counts are summed one by one up to this number, then at nodes of growing distance.
_N_EXACT = 32
# A distance of a quarter of a Poisson's standard deviation.
_GROWTH = 1 / 64
# First number of nodes and bound of their number; probability at which the sum ends.
_N_NODES, _MAX_NODES, _NEGLIGIBLE = 8, 2**15, 1e-6
# Levels beyond those required that are filled at the same time; values at a time.
_MARGIN, _BLOCK = 4, 2**14
# Maximum number of means at a time.
_ELEMENTS = 2**20


class LogProbMoments:
    r"""Mean and variance of the log-likelihood of each count, if counts follow the likelihood.

    Both depend on the mean and the parameters of the feature only. They are computed by summation
    over counts on a grid of log means, where they are needed for the first time, and interpolated
    linearly. What is interpolated is :math:`E\,(1 + 1/\mu)`, which tends to a polynomial of the log
    mean at both ends.

    Parameters
    ----------
    likelihood
        Likelihood of f features, whose parameters must not change.

    Examples
    --------
    >>> import torch
    >>> from multiDGD.inference import LogProbMoments
    >>> from multiDGD.nn import Bernoulli
    >>> mean, variance = LogProbMoments(Bernoulli(1))(torch.tensor([[0.6931]]))
    >>> round(float(mean), 2), round(float(variance), 2)  # a fair coin
    (-0.69, 0.0)
    """

    def __init__(self, likelihood: Likelihood) -> None:
        self.likelihood = likelihood
        self._n_features = likelihood.n_features
        self._tables: Tensor | None = None
        self._first = torch.full((self._n_features,), _N_LEVELS)
        self._last = torch.full((self._n_features,), -1)

    @torch.no_grad()
    def __call__(self, mean_nf: Tensor) -> tuple[Tensor, Tensor]:
        """Sums over features of the means and variances (nats), shape ``(n,)`` each.

        Parameters
        ----------
        mean_nf
            Mean counts, shape ``(n, f)``.
        """
        found = [mean_nf.new_zeros(2, 0)]
        for part in mean_nf.split(max(1, _ELEMENTS // self._n_features)) if len(mean_nf) else ():
            found.append(self._sums(part))
        mean_n, variance_n = torch.cat(found, dim=1)
        return mean_n, variance_n

    def _sums(self, mean_nf: Tensor) -> Tensor:
        position = mean_nf.clamp(min=math.exp(_LOWEST)).log_().sub_(_LOWEST).div_(_STEP)
        position.clamp_(max=_N_LEVELS - 1.001)
        level = position.long()
        tables = self._filled(level)
        part = position.sub_(level)
        level.mul_(self._n_features).add_(torch.arange(self._n_features, device=level.device))
        scale = mean_nf / (1 + mean_nf)
        return torch.stack(
            [
                torch.lerp(table.take(level), table[1:].take(level), part).mul_(scale).sum(1)
                for table in tables
            ]
        )

    def _filled(self, level_nf: Tensor) -> Tensor:
        """Tables of both moments, shape ``(2, levels, f)``, with values at the given levels."""
        if self._tables is None:
            device = level_nf.device
            # Memory that is never written to is never allocated.
            self._tables = torch.empty(
                2, _N_LEVELS, self._n_features, dtype=torch.float32, device=device
            )
            self._first, self._last = self._first.to(device), self._last.to(device)
        first, last = level_nf.amin(0), level_nf.amax(0) + 1
        is_wider = (first < self._first) | (last > self._last)
        wider = is_wider.nonzero().squeeze(1)
        if len(wider):
            # One range of levels for each feature, somewhat wider than these cells require.
            first = torch.minimum((first - _MARGIN).clamp(min=0), self._first)
            last = torch.maximum((last + _MARGIN).clamp(max=_N_LEVELS - 1), self._last)
            first, last = first.where(is_wider, self._first), last.where(is_wider, self._last)
            levels = torch.arange(_N_LEVELS, device=first.device)[:, None]
            is_new = (first[wider] <= levels) & (levels <= last[wider])
            is_new &= (levels < self._first[wider]) | (self._last[wider] < levels)
            new, columns = is_new.nonzero(as_tuple=True)
            for block in zip(new.split(_BLOCK), wider[columns].split(_BLOCK), strict=True):
                self._tables[:, *block] = self._moments(*block).to(self._tables)
            self._first, self._last = first, last
        return self._tables

    def _moments(self, level_p: Tensor, column_p: Tensor) -> Tensor:
        """Scaled mean and variance at pairs of level and feature, shape ``(2, pairs)``."""
        log_mean_p = _LOWEST + _STEP * level_p.double()
        mean_p = log_mean_p.exp()
        zero_p = torch.empty_like(mean_p)
        for level in level_p.unique().tolist():
            here = level_p == level
            every = mean_p.new_full((1, self._n_features), math.exp(_LOWEST + _STEP * level))
            zero_p[here] = self.likelihood.log_prob_zero(every)[0, column_p[here]]
        # Sums of probabilities, log-probabilities and their squares.
        sums = mean_p.new_zeros(3, len(mean_p))
        active = torch.arange(len(mean_p), device=mean_p.device)
        first, last = 0, _N_NODES
        while len(active) and last < _MAX_NODES:
            counts, weights = self._nodes(first, last, mean_p.device)
            shape = len(counts), len(active)
            ratio = self.likelihood.log_ratio_to_zero(
                counts[:, None].expand(shape).reshape(-1),
                log_mean_p[active].expand(shape).reshape(-1),
                column_p[active].expand(shape).reshape(-1),
            ).view(shape)
            log_prob = zero_p[active] + torch.where(counts[:, None] > 0, ratio, 0)
            probability = weights[:, None] * log_prob.exp()
            weighted = probability * log_prob
            terms = torch.stack([probability, weighted, weighted * log_prob]).sum(1)
            sums[:, active] += terms
            if len(counts) < last - first:
                break
            first, last = last, 2 * last
            active = active[(counts[-1] < mean_p[active]) | (terms[0] > _NEGLIGIBLE)]
        total, first_moment, second_moment = sums
        expected = first_moment / total
        variance = (second_moment / total - expected.square()).clamp(min=0)
        return torch.stack([expected, variance]) * (1 + 1 / mean_p)

    def _nodes(self, first: int, last: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Counts and their weights in a sum over all counts, for a range of nodes."""
        node = torch.arange(first, last, dtype=torch.float64, device=device)
        node = node[node <= self.likelihood.max_count]
        beyond = (node - _N_EXACT).clamp(min=0)
        return node + _GROWTH * beyond.square(), 1 + 2 * _GROWTH * beyond
