"""Which component of the mixture a cell's counts speak for, wherever exactly the cell lies."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from multiDGD.latent import GaussianMixture
from multiDGD.module import MultiDGDModule, frozen

from ._curvature import prior_precision
from ._laplace import fisher_information

# Of the mean curvature, below which counts say nothing of a direction.
_RIDGE = 1e-6


def component_log_evidence(
    module: MultiDGDModule,
    batch: dict[str, Any],
    representation: Tensor,
    correlation: Tensor | None = None,
    df: float = math.inf,
) -> Tensor:
    r"""Log joint density of each cell's counts and each component, but for a constant of the cell.

    .. math::
        \log \pi_k + \log \int p(x \mid z)\, N(z; \mu_k, \Lambda_k^{-1})\, dz

    with the likelihood taken for a normal density in z, of which value, slope and Fisher
    information are right at the given representation. The mixture's posterior at a single point
    takes the point for the truth; this one knows how far the cell's counts tell its place, and
    that a component with a narrow prior would have put the cell elsewhere. Covariates are
    integrated out too.

    The integral is the normal density that the likelihood's maximum has around :math:`\mu_k`, of
    which the covariance :math:`C_k` is :math:`\Lambda_k^{-1}` and how far the counts leave it open.
    With ``df`` it is Student's density of the same location and scale, so that a cell far from
    all components does not speak the louder for the nearest:
    :math:`-\frac{\nu + L}{2} \log(1 + d_k^2 / \nu)` in place of :math:`-\frac{1}{2} d_k^2`, with
    :math:`d_k` the distance of the two in units of :math:`C_k`.

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
    df
        Degrees of freedom :math:`\nu` of the components' tails.

    Returns
    -------
    Nats, shape ``(n, n_components)``.
    """
    slope_nd = _slope(module, batch, representation).double()
    with torch.no_grad():
        precision = fisher_information(module, batch, representation).double()
        mixture, n_latent = module.mixture, module.n_latent
        rest = prior_precision(module, batch, representation)[:, n_latent:]
        precision.diagonal(dim1=1, dim2=2)[:, n_latent:] += rest
        highest_n, _ = _maximum(_definite(precision), slope_nd)
        log_pi_k = mixture.weight.log_softmax(0)
        prior_kll, volume_k = _priors(mixture, correlation)
        found = []
        for log_pi, mean, prior, volume in zip(
            log_pi_k, mixture.mean, prior_kll, volume_k, strict=True
        ):
            here = precision.clone()
            here[:, :n_latent, :n_latent] += prior
            away = (mean - representation[:, :n_latent]).double()
            pull = away @ prior
            slope = slope_nd.clone()
            slope[:, :n_latent] += pull
            gain_n, lost_n = _maximum(here, slope)
            gain_n = gain_n - 0.5 * (pull * away).sum(1)
            # Half the squared distance is what the component costs the best of places.
            fit_n = _student(highest_n - gain_n, df, n_latent)
            found.append(log_pi + volume + fit_n - lost_n)
        return torch.stack(found, dim=1).to(representation)


def _maximum(precision: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
    """Height of parabolas above where they have this slope, and half their log determinants."""
    factor = torch.linalg.cholesky(precision)
    half = torch.linalg.solve_triangular(factor, slope[..., None], upper=False)
    return 0.5 * half.square().sum((1, 2)), factor.diagonal(dim1=1, dim2=2).log().sum(1)


def _definite(precision: Tensor) -> Tensor:
    """Curvature that is definite also where the counts say nothing."""
    diagonal = precision.diagonal(dim1=1, dim2=2)
    ridge = _RIDGE * diagonal.mean(1, keepdim=True) + _RIDGE
    return precision + torch.diag_embed(ridge.expand_as(diagonal))


def _student(half_square: Tensor, df: float, dim: int) -> Tensor:
    """Log density of distances, but for a constant, by half their squares."""
    half_square = half_square.clamp(min=0)
    if math.isinf(df):
        return -half_square
    return -0.5 * (df + dim) * torch.log1p(2 * half_square / df)


def _priors(mixture: GaussianMixture, correlation: Tensor | None) -> tuple[Tensor, Tensor]:
    """Precisions of the components, shape ``(K, L, L)``, and half their log determinants."""
    root_kl = (0.5 * mixture.neglogvar.double()).exp().expand(-1, mixture.dim)
    if correlation is None:
        return torch.diag_embed(root_kl.square()), root_kl.log().sum(1)
    factor = torch.linalg.cholesky(correlation.double())
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
