"""Starting points for the inference of representations: means of components and categories."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from multiDGD.module import MultiDGDModule
from multiDGD.nn import Counts

from ._curvature import BLOCK_ELEMENTS, Curvature

#: Maximum number of combinations of categories to try for each cell.
MAX_COMBINATIONS = 2**12
#: Rounding step of continuous covariates, in standard deviations.
CONTINUOUS_STEP = 0.5


@torch.no_grad()
def best_candidates(
    module: MultiDGDModule, batch: dict[str, Any], curvature: Curvature | None = None
) -> Tensor:
    """Candidate with the highest score for each cell.

    Parameters
    ----------
    module, batch, curvature
        As for :func:`ranked_candidates`.

    Returns
    -------
    Shape ``(n, n_representation)``.
    """
    return ranked_candidates(module, batch, 1, curvature)[:, 0]


@torch.no_grad()
def ranked_candidates(
    module: MultiDGDModule,
    batch: dict[str, Any],
    n_best: int,
    curvature: Curvature | None = None,
) -> Tensor:
    r"""Candidates with the highest scores for each cell.

    A candidate combines the mean of a mixture component with the mean of the cell's category in
    each covariate. If a category is unknown, there is a candidate for every category. The score
    of a candidate is

    .. math::
        \sum_m e_m \sum_j x_{mj} \log y_{mj} + \log p(w),

    the multinomial log-likelihood of the counts given their total, plus the weighted log prior. The
    likelihood of each modality is weighted by the information in one of its counts
    (:meth:`Curvature.efficiency`). All candidates share one product of the counts with the head's
    last weights. Continuous covariates are rounded, so that cells share decoded candidates.

    Parameters
    ----------
    module
        The module.
    batch
        A minibatch of n cells on the module's device.
    n_best
        Maximum number of candidates to return for each cell.
    curvature
        Curvature of the module, computed if not given.

    Returns
    -------
    Shape ``(n, n_best, n_representation)``, best first.
    """
    curvature = curvature or Curvature(module)
    weight_n = module.mixture_weights(batch["counts"])
    weighted = {
        m: _weighted_counts(module, m, batch["counts"][m], curvature) for m in module.modalities
    }
    n_best = min(n_best, module.mixture.n_mix_comp)
    best = module.mixture.mean.new_empty(len(batch["cells"]), n_best, module.n_representation)
    block = max(1, BLOCK_ELEMENTS // max(module.likelihood(m).n_features for m in weighted))
    for pattern, cells in _covariate_patterns(module, batch):
        selected = {m: (product[cells], total[cells]) for m, (product, total) in weighted.items()}
        w_cd = _candidates(module, pattern.codes)
        score_nc = torch.cat(
            [_scores(module, w, weight_n[cells], selected, pattern) for w in w_cd.split(block)],
            dim=1,
        )
        best[cells] = w_cd[score_nc.topk(n_best, dim=1).indices]
    return best


def _weighted_counts(
    module: MultiDGDModule, modality: str, counts: Counts, curvature: Curvature
) -> tuple[Tensor, Tensor]:
    """Counts times last weights, shape ``(n, h)``, and library sizes, both multiplied by e_m."""
    weight_fh = module.decoder.head(modality).output.weight
    cells = torch.arange(counts.n_cells, device=counts.rows.device)
    product_nh = functional.embedding_bag(
        counts.columns,
        weight_fh,
        torch.searchsorted(counts.rows, cells),
        per_sample_weights=counts.values.to(weight_fh),
        mode="sum",
    )
    efficiency_n = curvature.efficiency(modality, counts.library)
    return product_nh * efficiency_n[:, None], counts.library * efficiency_n


class CovariatePattern(NamedTuple):
    """Label and covariates that a group of cells share."""

    #: Code of the label, -1 if unknown.
    label: int
    #: Codes of the modelled covariates, -1 if unknown.
    codes: list[int]
    #: Standardised continuous covariates, as multiples of `CONTINUOUS_STEP`.
    steps: Tensor


def _covariate_patterns(
    module: MultiDGDModule, batch: dict[str, Any]
) -> Iterator[tuple[CovariatePattern, Tensor]]:
    """Yield each covariate pattern and the indices of its cells."""
    codes = batch["covariates"][:, module.covariate_columns]
    standardised = (batch["continuous"] - module.continuous_mean) / module.continuous_scale
    steps = (standardised / CONTINUOUS_STEP).round()
    joined = torch.cat([batch["labels"][:, None], codes, steps], dim=1)
    unique, pattern_of_cell = torch.unique(joined, dim=0, return_inverse=True)
    sizes = [1, codes.shape[1], steps.shape[1]]
    for number, row in enumerate(unique):
        label, code, step = row.split(sizes)
        pattern = CovariatePattern(int(label), code.long().tolist(), step)
        yield pattern, (pattern_of_cell == number).nonzero().squeeze(-1)


def _candidates(module: MultiDGDModule, codes: list[int]) -> Tensor:
    """Combine the means of all components with those of all categories that match the codes.

    Covariates whose combinations would exceed `MAX_COMBINATIONS` use their average mean.
    """
    means: list[Tensor] = [mixture.mean for mixture in module.mixtures_of_covariates]
    n_combinations = 1
    for i in sorted(range(len(means)), key=lambda i: len(means[i])):
        if codes[i] >= 0:
            means[i] = means[i][codes[i], None]
        elif n_combinations * len(means[i]) > MAX_COMBINATIONS:
            means[i] = means[i].mean(0, keepdim=True)
        n_combinations *= len(means[i])
    w_cd: Tensor = module.mixture.mean
    for mean in means:
        w_cd = torch.cat(
            [w_cd.repeat(len(mean), 1), mean.repeat_interleave(len(w_cd), dim=0)], dim=1
        )
    return w_cd


def _scores(
    module: MultiDGDModule,
    w_cd: Tensor,
    weight_n: Tensor,
    weighted: Mapping[str, tuple[Tensor, Tensor]],
    pattern: CovariatePattern,
) -> Tensor:
    """Scores of cells with one covariate pattern, shape ``(n, c)``."""
    n, device = len(w_cd), w_cd.device
    label = torch.full((n,), pattern.label, device=device)
    codes = label.new_full((n, max(module.covariate_columns, default=-1) + 1), -1)
    codes[:, module.covariate_columns] = label.new_tensor(pattern.codes)
    prior = module.latent_log_prob(w_cd, label, codes)
    score = weight_n[:, None] * prior.pop("mixture")
    for log_prob_c in prior.values():
        score = score + log_prob_c
    continuous = pattern.steps * CONTINUOUS_STEP * module.continuous_scale
    latent = module.decoder_input(w_cd, (module.continuous_mean + continuous).expand(n, -1))
    for modality, hidden_ch in module.decoder.hidden(latent).items():
        product_nh, total_n = weighted[modality]
        logits_cf = module.decoder.head(modality).output(hidden_ch)
        normaliser_c = module.likelihood(modality).mean_function.log_normaliser(logits_cf)
        score = score + product_nh @ hidden_ch.T - total_n[:, None] * normaliser_c
    return score
