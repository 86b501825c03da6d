"""Mean shares of features in groups of cells: decoded shares corrected by residual counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ._shrinkage import LEAST_COUNT, shrink_variances

# Counts of a feature that suffice to estimate its variance.
_RELIABLE_COUNT = 10.0


class GroupRates(NamedTuple):
    """Mean share of each feature in the counts of a group, and its precision.

    Attributes
    ----------
    rate
        Share, shape ``(f,)``.
    exposure
        Equivalent library size, shape ``(f,)``: the variance of a rate is ``rate / exposure``, as
        for a Poisson count of the feature in a library of this size.
    df
        Degrees of freedom of the estimated variance, one for all features or shape ``(f,)``.
    """

    rate: Tensor
    exposure: Tensor
    df: float | Tensor


@dataclass(frozen=True)
class RateSums:
    r"""Sums over the cells of s strata, which determine the rates of any union of strata.

    Cell i has the weight :math:`q_i`, the library size :math:`s_i` and the count :math:`x_i` of a
    feature. The decoded mean is :math:`\mu_i`, with variance :math:`\mu_i / v_i`. The decoded
    share is :math:`t_i`, possibly under other conditions (batches). The residuals are
    :math:`e_i = v_i s_i (t_i / \mu_i) (x_i - \mu_i)`. The rate of a group is the mean share plus
    the mean residual,

    .. math::
        \hat y = \frac{\sum_i q_i t_i}{\sum_i q_i} + \frac{\sum_i q_i e_i}{\sum_i q_i v_i s_i}.

    The residuals restore differences that the decoder misses, so that the rate is consistent
    whatever the fit of the decoder. This is augmented inverse probability weighting (Robins,
    Rotnitzky and Zhao, JASA 89:846, 1994). The variance of the rate is that of the cells'
    contributions: it includes the residual variance and the variance of the shares between cells.

    Attributes
    ----------
    n
        Number of cells, shape ``(s,)``.
    weight, weight2
        :math:`\sum q` and :math:`\sum q^2`, shape ``(s,)``.
    first
        Sums of q times t, e and :math:`v s`, shape ``(s, 3, f)``.
    second
        Sums of :math:`q^2` times t, e, :math:`t^2`, :math:`t e` and :math:`e^2`, shape
        ``(s, 5, f)``.
    counts
        Sums of x, of :math:`x > 0` and of :math:`x / s`, and numbers of cells in which the
        feature was measured, shape ``(s, 4, f)``.
    """

    n: Tensor
    weight: Tensor
    weight2: Tensor
    first: Tensor
    second: Tensor
    counts: Tensor

    def merged(self, strata: Sequence[Sequence[int]]) -> RateSums:
        """Sums of unions of strata.

        Parameters
        ----------
        strata
            Positions of the strata of each union.
        """
        fields = vars(self).values()
        return RateSums(*(torch.stack([x[list(s)].sum(0) for s in strata]) for x in fields))

    def rates(self, stratum: int) -> GroupRates:
        """Rates of a stratum with its cells as replicates.

        The variance between cells, relative to the likelihood, is shrunk towards that of the other
        features by :func:`shrink_variances`.

        Parameters
        ----------
        stratum
            Position of the stratum.
        """
        n, n2 = self.weight[stratum], self.weight2[stratum]
        t, e, exposure = self.first[stratum]
        t1, e1, tt, te, ee = self.second[stratum]
        share, residual = t / n, e / n
        between = tt - 2 * share * t1 + share.square() * n2
        covariance = te - share * e1 - residual * t1 + share * residual * n2
        within = ee - 2 * residual * e1 + residual.square() * n2
        n_effective = n.square() / n2
        # The variance is that of the count rate * exposure.
        per_cell = exposure / n
        variance = per_cell.square() * between + 2 * per_cell * covariance + within
        df = max(float(n_effective) - 1, 1e-6)
        variance = variance * n_effective / df
        tiny = torch.finfo(exposure.dtype).tiny  # without exposure, there is no residual
        rate = (share + e / exposure.clamp(min=tiny)).clamp(min=0)
        counts = rate * exposure
        relative = variance / counts.clamp(min=tiny)
        # All features have their deviations from the same few cells.
        scale, total_df = _moderated(relative, counts, df, _RELIABLE_COUNT, max_prior_df=df)
        return GroupRates(rate, exposure / scale, total_df)

    def sample_rates(self, groups: Sequence[Sequence[int]]) -> list[GroupRates]:
        """Rates of groups with strata (samples) as replicates.

        The variance between the samples of a group, relative to the likelihood, is estimated for
        each feature from all groups together. It is shrunk towards that of the other features by
        :func:`shrink_variances`.

        Parameters
        ----------
        groups
            Positions of the strata of each group, at least two.
        """
        rates, exposures, squares = [], [], []
        for group in groups:
            strata = list(group)
            t, e, exposure = self.first[strata].unbind(1)
            n = self.weight[strata, None]
            smallest = torch.finfo(exposure.dtype).tiny
            share = t.sum(0) / n.sum()
            residual = e.sum(0) / exposure.sum(0).clamp(min=smallest)
            deviation = (t - share * n) * exposure.sum(0) / n.sum() + e - residual * exposure
            rates.append((share + residual).clamp(min=0))
            exposures.append(exposure.sum(0))
            # The variance of a sum of m samples is m / (m - 1) times the sum of their squared
            # deviations. The division by the degrees of freedom follows for all groups together.
            squares.append(len(strata) * deviation.square().sum(0))
        counts = torch.stack([r * x for r, x in zip(rates, exposures, strict=True)])
        # Without counts, a group has no variance relative to them.
        has_counts = counts > LEAST_COUNT
        relative = (torch.stack(squares) / counts.clamp(min=LEAST_COUNT)).where(has_counts, 0)
        df = torch.tensor([len(group) - 1.0 for group in groups], dtype=counts.dtype)
        df_f = (has_counts * df[:, None]).sum(0).clamp(min=1)
        n_samples = sum(len(group) for group in groups)
        scale, total_df = _moderated(
            relative.sum(0) / df_f, counts.sum(0), df_f, min_count=_RELIABLE_COUNT * n_samples
        )
        # The groups share these degrees of freedom.
        return [
            GroupRates(rate, exposure / scale, total_df / len(groups))
            for rate, exposure in zip(rates, exposures, strict=True)
        ]


def _moderated(
    relative: Tensor,
    counts: Tensor,
    df: float | Tensor,
    min_count: float,
    max_prior_df: float = math.inf,
) -> tuple[Tensor, Tensor]:
    """Shrunk variances relative to a Poisson count, and their degrees of freedom.

    The sample variance of few Poisson counts has a larger relative error than that of normal
    variables: it has ``1 / (1 / df + 1 / (2 counts))`` degrees of freedom.
    """
    tiny = torch.finfo(counts.dtype).tiny
    df_f = 1 / (1 / df + 1 / (2 * counts.clamp(min=tiny)))
    shrunk, total_df = shrink_variances(
        relative.clamp(min=tiny).numpy(),
        df_f.numpy(),
        counts.numpy(),
        (counts > min_count).numpy(),
        max_prior_df,
    )
    return torch.from_numpy(shrunk), torch.from_numpy(total_df)
