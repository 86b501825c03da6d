"""Mean shares of features in groups of cells: what the decoder says, mended by the counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from multiDGD.module import MultiDGDModule
from multiDGD.nn import Counts

from ._moderate import moderate

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
        alike: :func:`moderate`.

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
        moderated, found_df = moderate(
            (excess / df).numpy(), df, counts.sum(0).numpy(), known.numpy()
        )
        scale = torch.from_numpy(moderated)
        # The groups share these degrees of freedom.
        return [
            GroupRates(rate, exposure / scale, found_df / len(groups))
            for rate, exposure in zip(rates, exposures, strict=True)
        ]


def rate_sums(
    module: MultiDGDModule,
    cells: Iterable[tuple[dict[str, Any], Tensor]],
    modality: str,
    strata: Tensor,
    n_strata: int,
    weights: Tensor | None = None,
    conditions: Callable[[Tensor], Iterable[Tensor]] | None = None,
) -> RateSums:
    """Sum what rates of one modality need, in one pass over the cells.

    Parameters
    ----------
    module
        A trained module.
    cells
        Minibatches of cells with their rows, on the module's device.
    modality
        Its name.
    strata
        Stratum of each cell, shape ``(n,)``, int64; -1 for cells of none. Cells in which nothing
        was counted are of none.
    n_strata
        Their number s.
    weights
        Of each cell, shape ``(n,)``; 1 by default.
    conditions
        Gives rows of the same cells under other conditions, over which a cell's share is
        averaged; its own by default.
    """
    likelihood = module.likelihood(modality)
    shape = n_strata, likelihood.n_features
    sums = RateSums(
        *torch.zeros(3, n_strata, dtype=torch.float64),
        *(torch.zeros(n_strata, m, shape[1], dtype=torch.float64) for m in (3, 5, 3)),
    )
    start = 0

    def share_of(w: Tensor, batch: dict[str, Any]) -> Tensor:
        logits = module.generative(w, batch["continuous"], [modality])["logits"][modality]
        # The softmax of a feature that is next to never counted may be 0.
        return likelihood.mean(logits, torch.ones_like(w[:, 0])).clamp(min=1e-30)

    for batch, w in cells:
        counts: Counts = batch["counts"][modality]
        here = slice(start, start + len(w))
        start = here.stop
        code = torch.where(counts.library > 0, strata[here].to(w.device), -1)
        is_in = (code == torch.arange(n_strata, device=w.device)[:, None]).to(w)
        weighted = is_in if weights is None else is_in * weights[here].to(w)
        own = share_of(w, batch)
        share = own
        if conditions is not None:
            share = torch.stack([share_of(other, batch) for other in conditions(w)]).mean(0)
        mean = counts.library[:, None] * own
        precision = likelihood.fisher(mean) / mean.clamp(min=1e-30)
        residual = (counts.to_dense() - mean).mul_(precision).mul_(share / own)
        depth = precision * counts.library[:, None]
        squares = share.square(), share * residual, residual.square()
        for found, added in zip(
            vars(sums).values(),
            (
                is_in.sum(1),
                weighted.sum(1),
                weighted.square().sum(1),
                _sums(weighted, share, residual, depth),
                _sums(weighted.square(), share, residual, *squares),
                _count_sums(code, counts, n_strata),
            ),
            strict=True,
        ):
            found += added.double().cpu()
    return sums


def _sums(weight_sn: Tensor, *values_nf: Tensor) -> Tensor:
    """Weighted sums, shape ``(s, values, f)``."""
    return torch.stack([weight_sn @ v for v in values_nf], dim=1)


def _count_sums(code: Tensor, counts: Counts, n_strata: int) -> Tensor:
    """Sums of counts, of those above 0 and of their shares, shape ``(s, 3, f)``."""
    stratum = code[counts.rows]
    kept = stratum >= 0
    at = (stratum * counts.n_features + counts.columns)[kept]
    x, s = counts.values[kept], counts.library[counts.rows][kept]
    found = x.new_zeros(n_strata * counts.n_features, 3)
    found.index_add_(0, at, torch.stack([x, torch.ones_like(x), x / s], dim=1))
    return found.view(n_strata, counts.n_features, 3).transpose(1, 2)
