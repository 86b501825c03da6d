"""Where the search for a cell's representation starts: means of components and categories."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from multiDGD.module import MultiDGDModule
from multiDGD.nn import Counts

from ._curvature import BLOCK_ELEMENTS, Curvature

#: Most combinations of categories that are tried for a cell.
MAX_COMBINATIONS = 2**12
#: To what continuous covariates are rounded, in standard deviations.
CONTINUOUS_STEP = 0.5


@torch.no_grad()
def best_candidates(
    module: MultiDGDModule, batch: dict[str, Any], curvature: Curvature | None = None
) -> Tensor:
    """The candidate under which each cell is most likely; see :func:`ranked_candidates`.

    Parameters
    ----------
    module, batch, curvature
        As there.

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
    r"""The best of all candidates for each cell.

    Candidates are the means of the mixture's components, with the mean of the cell's category
    in every covariate; where that is unknown, with each of them. They are compared by

    .. math::
        \sum_m e_m \sum_j x_{mj} \log y_{mj} + \log p(w),

    the multinomial likelihood of the counts given their total, weighed by the information in a
    count of each modality (:meth:`Curvature.efficiency`), and the prior. All cells and
    candidates share one product of the counts with the head's last weights. Continuous covariates
    are rounded here, so that cells share what is decoded.

    Parameters
    ----------
    module
        The module.
    batch
        A minibatch of n cells on the module's device.
    n_best
        Candidates wanted for each cell; no more than there are are returned.
    curvature
        That of the module, where it is at hand.

    Returns
    -------
    Shape ``(n, n_best, n_representation)``, best first.
    """
    curvature = curvature or Curvature(module)
    weighted = {
        m: _weighted_counts(module, m, batch["counts"][m], curvature) for m in module.modalities
    }
    n_best = min(n_best, module.mixture.n_mix_comp)
    found = module.mixture.mean.new_empty(len(batch["cells"]), n_best, module.n_representation)
    block = max(1, BLOCK_ELEMENTS // max(module.likelihood(m).n_features for m in weighted))
    for situation, cells in _situations(module, batch):
        here = {m: (product[cells], total[cells]) for m, (product, total) in weighted.items()}
        w_cd = _candidates(module, situation.codes)
        score_nc = torch.cat(
            [_scores(module, w, here, situation) for w in w_cd.split(block)], dim=1
        )
        found[cells] = w_cd[score_nc.topk(n_best, dim=1).indices]
    return found


def _weighted_counts(
    module: MultiDGDModule, modality: str, counts: Counts, curvature: Curvature
) -> tuple[Tensor, Tensor]:
    """Counts times the last weights, shape ``(n, h)``, and the libraries; both times e_m."""
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


class Situation(NamedTuple):
    """What cells may share that decides their scores, besides their counts."""

    label: int
    #: Of modelled covariates, -1 where unknown.
    codes: list[int]
    #: Continuous covariates in steps of their standard deviation, from their mean.
    steps: Tensor


def _situations(
    module: MultiDGDModule, batch: dict[str, Any]
) -> Iterator[tuple[Situation, Tensor]]:
    """All situations, and the cells in each."""
    codes = batch["covariates"][:, module.covariate_columns]
    standardised = (batch["continuous"] - module.continuous_mean) / module.continuous_scale
    steps = (standardised / CONTINUOUS_STEP).round()
    together = torch.cat([batch["labels"][:, None], codes, steps], dim=1)
    unique, of_cell = torch.unique(together, dim=0, return_inverse=True)
    sizes = [1, codes.shape[1], steps.shape[1]]
    for number, row in enumerate(unique):
        label, code, step = row.split(sizes)
        situation = Situation(int(label), code.long().tolist(), step)
        yield situation, (of_cell == number).nonzero().squeeze(-1)


def _candidates(module: MultiDGDModule, codes: list[int]) -> Tensor:
    """Every component's mean with every combination of the means that codes leave open."""
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
    weighted: Mapping[str, tuple[Tensor, Tensor]],
    situation: Situation,
) -> Tensor:
    """Scores of cells in one situation, shape ``(n, c)``."""
    n, device = len(w_cd), w_cd.device
    label = torch.full((n,), situation.label, device=device)
    codes = label.new_full((n, max(module.covariate_columns, default=-1) + 1), -1)
    codes[:, module.covariate_columns] = label.new_tensor(situation.codes)
    score = torch.stack(list(module.latent_log_prob(w_cd, label, codes).values())).sum(0)
    continuous = situation.steps * CONTINUOUS_STEP * module.continuous_scale
    latent = module.decoder_input(w_cd, (module.continuous_mean + continuous).expand(n, -1))
    for modality, hidden_ch in module.decoder.hidden(latent).items():
        product_nh, total_n = weighted[modality]
        normaliser_c = module.decoder.head(modality).output(hidden_ch).logsumexp(1)
        score = score + product_nh @ hidden_ch.T - total_n[:, None] * normaliser_c
    return score
