"""Draws of representations from the prior of each cell."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from multiDGD.latent import GaussianMixture, GaussianMixtureSupervised
from multiDGD.module import MultiDGDModule


def prior_draws(
    module: MultiDGDModule, batch: dict[str, Any], normal_snd: Tensor, uniform_snm: Tensor
) -> Tensor:
    """Transform standard draws to draws from the mixtures, shape ``(n_samples, n, d)``.

    Parameters
    ----------
    module
        The module, with m mixtures: that of z, and one for each covariate.
    batch
        A minibatch of n cells. A code of -1 selects the mixture of all classes or categories.
    normal_snd
        Standard normal draws, shape ``(n_samples, n, d)``.
    uniform_snm
        Uniform draws in [0, 1), shape ``(n_samples, n, m)``.
    """
    z_snl, u = module.split(normal_snd)
    codes = [batch["labels"], *batch["covariates"][:, module.covariate_columns].unbind(1)]
    mixtures = [module.mixture, *module.mixtures_of_covariates]
    parts = []
    for mixture, code_n, normal, uniform_sn in zip(
        mixtures, codes, [z_snl, *u], uniform_snm.unbind(2), strict=True
    ):
        component_sn = _components(mixture, code_n, uniform_sn)
        stddev = mixture.stddev.expand(-1, mixture.dim)
        parts.append(mixture.mean[component_sn] + stddev[component_sn] * normal)
    return torch.cat(parts, dim=2)


def _components(mixture: GaussianMixture, code_n: Tensor, uniform_sn: Tensor) -> Tensor:
    """Components with the probabilities of the mixture, or of the class of a cell."""
    log_pi_nk = mixture.weight.double().expand(len(code_n), -1)
    if isinstance(mixture, GaussianMixtureSupervised):
        class_k = torch.arange(mixture.n_mix_comp, device=code_n.device) // mixture.Ncompperclass
        other_nk = (class_k != code_n[:, None]) & (code_n[:, None] >= 0)
        log_pi_nk = log_pi_nk.masked_fill(other_nk, -torch.inf)
    cumulative_nk = log_pi_nk.softmax(1).cumsum(1)
    # By rounding, the last sum may be below 1, and a draw above it would select no component.
    level_ns = uniform_sn.double().T * cumulative_nk[:, -1:] * (1 - 1e-9)
    return torch.searchsorted(cumulative_nk, level_ns.contiguous(), right=True).T
