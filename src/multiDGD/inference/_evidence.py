"""Evidence of each cell for each mixture component, with its representation integrated out."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from multiDGD.latent import GaussianMixture
from multiDGD.module import MultiDGDModule, frozen

from ._curvature import prior_precision
from ._laplace import fisher_information

# Ridge relative to the mean curvature, for directions without information in the counts.
_RIDGE = 1e-6


def component_log_evidence(
    module: MultiDGDModule,
    batch: dict[str, Any],
    representation: Tensor,
    correlation: Tensor | None = None,
    df: float = math.inf,
) -> Tensor:
    r"""Log joint density of each cell's counts and each component, up to a constant per cell.

    .. math::
        \log \pi_k + \log \int p(x \mid z)\, N(z; \mu_k, \Lambda_k^{-1})\, dz

    The likelihood is approximated by a normal density in z. Its value, gradient and Fisher
    information match those at the given representation. The mixture's posterior at a single
    representation ignores the uncertainty of that representation. This evidence accounts for it,
    and for the shift of the MAP estimate under each component. Covariates are integrated out too.

    The integral equals a normal density around :math:`\mu_k`, evaluated at the maximum of the
    likelihood. Its covariance :math:`C_k` is the sum of :math:`\Lambda_k^{-1}` and the covariance
    of the likelihood. A finite ``df`` replaces it by Student's t density of the same location and
    scale: :math:`-\frac{\nu + L}{2} \log(1 + d_k^2 / \nu)` instead of
    :math:`-\frac{1}{2} d_k^2`, with the Mahalanobis distance :math:`d_k` under :math:`C_k`. Cells
    far from all components are then less confidently assigned to the nearest one.

    Parameters
    ----------
    module
        A trained module.
    batch
        A minibatch of n cells on the module's device.
    representation
        Representations near the MAP estimates, shape ``(n, n_representation)``.
    correlation
        Correlation of the dimensions of z within every component, shape
        ``(n_latent, n_latent)``; the identity by default, as in the mixture itself.
    df
        Degrees of freedom :math:`\nu` of Student's t; infinite by default (normal density).

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
        likelihood_rise_n, _ = _maximum(_regularised(precision), slope_nd)
        log_pi_k = mixture.weight.log_softmax(0)
        prior_kll, volume_k = _priors(mixture, correlation)
        log_evidence = []
        for log_pi, mean, prior, volume in zip(
            log_pi_k, mixture.mean, prior_kll, volume_k, strict=True
        ):
            joint_precision = precision.clone()
            joint_precision[:, :n_latent, :n_latent] += prior
            difference = (mean - representation[:, :n_latent]).double()
            prior_slope = difference @ prior
            slope = slope_nd.clone()
            slope[:, :n_latent] += prior_slope
            rise_n, half_log_det_n = _maximum(joint_precision, slope)
            rise_n = rise_n - 0.5 * (prior_slope * difference).sum(1)
            # The prior of the component lowers the maximum by half the squared distance.
            fit_n = _student(likelihood_rise_n - rise_n, df, n_latent)
            log_evidence.append(log_pi + volume + fit_n - half_log_det_n)
        return torch.stack(log_evidence, dim=1).to(representation)


def _maximum(precision: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
    """Rise of quadratics from a given gradient to their maximum, and half log determinants."""
    factor = torch.linalg.cholesky(precision)
    half = torch.linalg.solve_triangular(factor, slope[..., None], upper=False)
    return 0.5 * half.square().sum((1, 2)), factor.diagonal(dim1=1, dim2=2).log().sum(1)


def _regularised(precision: Tensor) -> Tensor:
    """Precision with a ridge, so that it is positive definite."""
    diagonal = precision.diagonal(dim1=1, dim2=2)
    ridge = _RIDGE * diagonal.mean(1, keepdim=True) + _RIDGE
    return precision + torch.diag_embed(ridge.expand_as(diagonal))


def _student(half_square: Tensor, df: float, dim: int) -> Tensor:
    """Log density of Student's t up to a constant, from half squared distances."""
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
    """Gradient of each cell's log posterior without the mixture over z, shape ``(n, d)``."""
    with frozen(module), torch.enable_grad():
        leaf = representation.detach().requires_grad_()
        output = module.objective(batch, leaf)
        covariates = [v for name, v in output.kl_local.items() if name != "mixture_loss"]
        loss = torch.stack([*output.reconstruction_loss.values(), *covariates]).sum()
        (gradient,) = torch.autograd.grad(loss, leaf)
    return -gradient
