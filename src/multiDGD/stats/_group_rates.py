"""Mean shares of features in groups of cells: what the decoder says, mended by the counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ._shrinkage import shrink_variances

# Counts from which on their scatter is believed more than what the likelihood expects of it.
_ENOUGH_COUNTS = 10.0


class GroupRates(NamedTuple):
    """Mean share that each feature has of the counts of a group, and what is known of it.

    Attributes
    ----------
    rate
        The share, shape ``(f,)``.
    exposure
        Total count in which a feature's own count, were it Poisson, would tell as much about its
        share as the group does, shape ``(f,)``.
    df
        Degrees of freedom of the scatter that the exposure rests on.
    """

    rate: Tensor
    exposure: Tensor
    df: float


@dataclass(frozen=True)
class RateSums:
    r"""Sums over the cells of each of s strata, from which rates of any union of them follow.

    Cell i has the weight :math:`q_i` and :math:`x_i` counts of a feature among :math:`s_i`. The
    decoder expects :math:`\mu_i`, with the variance :math:`\mu_i / v_i`, and the share :math:`t_i`
    under the conditions that are asked for. The rate of a group is the mean of the shares and of
    the residuals :math:`e_i = v_i s_i (t_i / \mu_i) (x_i - \mu_i)`,

    .. math::
        \hat y = \frac{\sum_i q_i t_i}{\sum_i q_i} + \frac{\sum_i q_i e_i}{\sum_i q_i v_i s_i}.

    What sets a group apart and the decoder has not seen, the residuals add, so that the rate is
    right however well the decoder fits (augmented inverse probability weighting; Robins, Rotnitzky
    and Zhao, JASA 89:846, 1994). Its variance is that of the contributions of the cells: how they
    scatter about the decoder, and how they differ from one another.

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
        Sums of x, of :math:`x > 0` and of :math:`x / s`, shape ``(s, 3, f)``.
    """

    n: Tensor
    weight: Tensor
    weight2: Tensor
    first: Tensor
    second: Tensor
    counts: Tensor

    def merged(self, strata: Sequence[Sequence[int]]) -> RateSums:
        """Sums of the unions of some strata.

        Parameters
        ----------
        strata
            Those of each union.
        """
        fields = vars(self).values()
        return RateSums(*(torch.stack([x[list(s)].sum(0) for s in strata]) for x in fields))

    def rates(self, stratum: int) -> GroupRates:
        """Rates of a stratum whose cells are a draw from all such cells.

        Parameters
        ----------
        stratum
            Its number.
        """
        n, n2 = self.weight[stratum], self.weight2[stratum]
        t, e, depth = self.first[stratum]
        t1, e1, tt, te, ee = self.second[stratum]
        share, residual = t / n, e / n
        between = tt - 2 * share * t1 + share.square() * n2
        both = te - share * e1 - residual * t1 + share * residual * n2
        within = ee - 2 * residual * e1 + residual.square() * n2
        effective = n.square() / n2
        # Variances are those of counts in the exposure, as everything here.
        expected = depth / n
        variance = expected.square() * between + 2 * expected * both + within
        variance = variance.clamp(min=0) * effective / (effective - 1)
        rate = (share + e / depth).clamp(min=0)
        # How few counts scatter cannot be seen, but it is nearly as the likelihood has it.
        excess = (variance + _ENOUGH_COUNTS) / (rate * depth + _ENOUGH_COUNTS)
        return GroupRates(rate, depth / excess, float(effective) - 1)

    def sample_rates(self, groups: Sequence[Sequence[int]]) -> list[GroupRates]:
        """Rates of groups of which each stratum is a sample, drawn from all such samples.

        How much the samples of a group scatter beyond the likelihood is found for each feature
        from all groups together, and drawn towards that of the other features as far as they are
        alike: :func:`shrink_variances`.

        Parameters
        ----------
        groups
            Strata of each, at least two.
        """
        rates, exposures, squares = [], [], []
        for group in groups:
            strata = list(group)
            t, e, depth = self.first[strata].unbind(1)
            n = self.weight[strata, None]
            share, residual = t.sum(0) / n.sum(), e.sum(0) / depth.sum(0)
            deviation = (t - share * n) * depth.sum(0) / n.sum() + e - residual * depth
            rates.append((share + residual).clamp(min=0))
            exposures.append(depth.sum(0))
            # What m samples sum to scatters m times as they do, m / (m - 1) times about their mean.
            squares.append(len(strata) * deviation.square().sum(0))
        counts = torch.stack([r * x for r, x in zip(rates, exposures, strict=True)])
        tiny = torch.finfo(counts.dtype).tiny
        excess = (torch.stack(squares) / counts.clamp(min=tiny)).sum(0).clamp(min=tiny)
        df = sum(len(group) - 1 for group in groups)
        n_samples = sum(len(group) for group in groups)
        known = counts.sum(0) > _ENOUGH_COUNTS * n_samples
        shrunk, found_df = shrink_variances(
            (excess / df).numpy(), df, counts.sum(0).numpy(), known.numpy()
        )
        scale = torch.from_numpy(shrunk)
        # The groups share these degrees of freedom.
        return [
            GroupRates(rate, exposure / scale, found_df / len(groups))
            for rate, exposure in zip(rates, exposures, strict=True)
        ]
