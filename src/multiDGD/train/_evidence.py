"""Which component of the mixture a cell's counts speak for, wherever exactly the cell lies."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from multiDGD.latent import GaussianMixture
from multiDGD.module import MultiDGDModule

from ._curvature import prior_precision
from ._frozen import frozen
from ._laplace import fisher_information


def component_log_evidence(
    module: MultiDGDModule,
    batch: dict[str, Any],
    representation: Tensor,
    correlation: Tensor | None = None,
) -> Tensor:
    r"""Log joint density of each cell's counts and each component, but for a constant of the cell.

    .. math::
        \log \pi_k + \log \int p(x \mid z)\, N(z; \mu_k, \Lambda_k^{-1})\, dz

    with the likelihood taken for a normal density in z, of which value, slope and Fisher
    information are right at the given representation. The mixture's posterior at a single point
    takes the point for the truth; this one knows how far the cell's counts tell its place, and
    that a component with a narrow prior would have put the cell elsewhere. Covariates are
    integrated out too.

    Parameters
    ----------
    module
        A trained module.
    batch
        A minibatch of n cells on the module's device.
    representation
        Points near the maxima, shape ``(n, n_representation)``.
    correlation
        Of the dimensions of z within every component, shape ``(n_latent, n_latent)``; none by
        default, as in the mixture itself.

    Returns
    -------
    Nats, shape ``(n, n_components)``.
    """
    slope_nd = _slope(module, batch, representation)
    with torch.no_grad():
        precision = fisher_information(module, batch, representation)
        mixture, n_latent = module.mixture, module.n_latent
        rest = prior_precision(module, batch, representation)[:, n_latent:]
        precision.diagonal(dim1=1, dim2=2)[:, n_latent:] += rest
        log_pi_k = mixture.weight.log_softmax(0)
        prior_kll, volume_k = _priors(mixture, correlation)
        found = []
        for log_pi, mean, prior, volume in zip(
            log_pi_k, mixture.mean, prior_kll, volume_k, strict=True
        ):
            here = precision.clone()
            here[:, :n_latent, :n_latent] += prior
            factor = torch.linalg.cholesky(here)
            away = mean - representation[:, :n_latent]
            pull = away @ prior
            slope = slope_nd.clone()
            slope[:, :n_latent] += pull
            half = torch.linalg.solve_triangular(factor, slope[..., None], upper=False)
            gain = 0.5 * half.square().sum((1, 2)) - 0.5 * (pull * away).sum(1)
            lost = factor.diagonal(dim1=1, dim2=2).log().sum(1)
            found.append(log_pi + volume + gain - lost)
        return torch.stack(found, dim=1)


def _priors(mixture: GaussianMixture, correlation: Tensor | None) -> tuple[Tensor, Tensor]:
    """Precisions of the components, shape ``(K, L, L)``, and half their log determinants."""
    root_kl = (0.5 * mixture.neglogvar).exp().expand(-1, mixture.dim)
    if correlation is None:
        return torch.diag_embed(root_kl.square()), root_kl.log().sum(1)
    factor = torch.linalg.cholesky(correlation)
    inverse = torch.cholesky_inverse(factor)
    precision_kll = root_kl[:, :, None] * inverse * root_kl[:, None]
    return precision_kll, root_kl.log().sum(1) - factor.diagonal().log().sum()


def _slope(module: MultiDGDModule, batch: dict[str, Any], representation: Tensor) -> Tensor:
    """Gradient of all of each cell's log posterior but the mixture over z, shape ``(n, d)``."""
    with frozen(module), torch.enable_grad():
        leaf = representation.detach().requires_grad_()
        output = module.objective(batch, leaf)
        covariates = [v for name, v in output.kl_local.items() if name != "mixture_loss"]
        loss = torch.stack([*output.reconstruction_loss.values(), *covariates]).sum()
        (gradient,) = torch.autograd.grad(loss, leaf)
    return -gradient
