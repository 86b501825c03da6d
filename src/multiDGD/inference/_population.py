"""Moments of z over the whole population."""

from __future__ import annotations

import torch
from torch import Tensor

from multiDGD.latent import GaussianMixture


@torch.no_grad()
def population_covariance(mixture: GaussianMixture) -> Tensor:
    r"""Covariance of z over the whole population, within and between components.

    .. math::
        \sum_k \pi_k \left(\operatorname{diag}\sigma_k^2
            + (\mu_k - \bar\mu)(\mu_k - \bar\mu)^\top\right)

    Parameters
    ----------
    mixture
        The mixture over z.

    Returns
    -------
    Shape ``(n_latent, n_latent)``.
    """
    pi_k = mixture.mixture_probs()
    deviation_kl = mixture.mean - pi_k @ mixture.mean
    variance_kl = (-mixture.neglogvar).exp().expand_as(deviation_kl)
    return torch.diag(pi_k @ variance_kl) + deviation_kl.T @ (pi_k[:, None] * deviation_kl)
