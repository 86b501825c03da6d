"""Sums over cells for the estimation of the rates of groups."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from multiDGD.module import MultiDGDModule
from multiDGD.nn import Counts
from multiDGD.stats import RateSums


def rate_sums(
    module: MultiDGDModule,
    cells: Iterable[tuple[dict[str, Any], Tensor]],
    modality: str,
    strata: Tensor,
    n_strata: int,
    weights: Tensor | None = None,
    conditions: Callable[[Tensor], Iterable[Tensor]] | None = None,
    measured: Callable[[Tensor], Tensor | None] | None = None,
) -> RateSums:
    """Compute the sums for the rates of one modality in one pass over the cells.

    Parameters
    ----------
    module
        A trained module.
    cells
        Minibatches of cells with their representations, on the module's device.
    modality
        Name of the modality.
    strata
        Stratum of each cell, shape ``(n,)``, int64; -1 for cells to ignore. Cells without counts
        are ignored as well.
    n_strata
        Number s of strata.
    weights
        Weight of each cell, shape ``(n,)``; 1 by default.
    conditions
        Function that returns representations of the same cells under several conditions. Shares
        are averaged over these; by default, each cell has its own condition.
    measured
        Function of the cells' positions that returns a mask of their measured features, shape
        ``(n, f)``, or `None` if all were measured. The decoded shares of other features have no
        residuals.
    """
    likelihood = module.likelihood(modality)
    shape = n_strata, likelihood.n_features
    sums = RateSums(
        *torch.zeros(3, n_strata, dtype=torch.float64),
        *(torch.zeros(n_strata, m, shape[1], dtype=torch.float64) for m in (3, 5, 4)),
    )
    start = 0

    def share_of(w: Tensor, batch: dict[str, Any]) -> Tensor:
        logits = module.generative(w, batch["continuous"], [modality])["logits"][modality]
        # The softmax of a feature with hardly any counts may underflow to 0.
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
        mask = None if measured is None else measured(batch["cells"])
        library = counts.library
        if mask is not None:
            mask = mask.to(own)
            # The library size of all features, extrapolated from the measured ones.
            library = library / (own * mask).sum(1).clamp(min=1e-30) * own.sum(1)
        if conditions is not None:
            share = torch.stack([share_of(other, batch) for other in conditions(w)]).mean(0)
        mean = library[:, None] * own
        precision = likelihood.fisher(mean) / mean.clamp(min=1e-30)
        if mask is not None:
            precision *= mask
        residual = (counts.to_dense() - mean).mul_(precision).mul_(share / own)
        exposure = precision * library[:, None]
        squares = share.square(), share * residual, residual.square()
        for found, added in zip(
            vars(sums).values(),
            (
                is_in.sum(1),
                weighted.sum(1),
                weighted.square().sum(1),
                _sums(weighted, share, residual, exposure),
                _sums(weighted.square(), share, residual, *squares),
                _count_sums(code, counts._replace(library=library), n_strata, mask, is_in),
            ),
            strict=True,
        ):
            found += added.double().cpu()
    return sums


def _sums(weight_sn: Tensor, *values_nf: Tensor) -> Tensor:
    """Weighted sums, shape ``(s, values, f)``."""
    return torch.stack([weight_sn @ v for v in values_nf], dim=1)


def _count_sums(
    code: Tensor, counts: Counts, n_strata: int, mask_nf: Tensor | None, is_in_sn: Tensor
) -> Tensor:
    """Sums of counts, of non-zero counts and of their shares; measured cells: ``(s, 4, f)``."""
    stratum = code[counts.rows]
    kept = stratum >= 0
    at = (stratum * counts.n_features + counts.columns)[kept]
    x, s = counts.values[kept], counts.library[counts.rows][kept]
    found = x.new_zeros(n_strata * counts.n_features, 3)
    found.index_add_(0, at, torch.stack([x, torch.ones_like(x), x / s], dim=1))
    sums = found.view(n_strata, counts.n_features, 3).transpose(1, 2)
    n_sf = is_in_sn.sum(1, keepdim=True).expand(-1, counts.n_features)
    if mask_nf is not None:
        n_sf = is_in_sn @ mask_nf
    return torch.cat([sums, n_sf[:, None]], dim=1)
