"""Laplace approximation of the posterior of a cell's representation."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from multiDGD.module import MultiDGDModule

from ._curvature import hidden_jacobians, prior_precision

#: Maximum number of elements in a block of (cells x dimensions x features), to fit into the cache.
BLOCK_ELEMENTS = 2**18
_BLOCK_CELLS = 64


@dataclass(frozen=True)
class Laplace:
    r"""Normal approximation of the posterior of each cell's representation.

    The negative log posterior is approximated by a quadratic function, with its curvature at the
    mode as the precision. The approximation is local. It covers only the mixture component around
    the mode, even if several components could explain a cell. It ignores kinks of the decoder.

    Attributes
    ----------
    mean
        Mode of each posterior, shape ``(n, d)``.
    factor
        Lower Cholesky factors L of the precisions :math:`L L^\top`, shape ``(n, d, d)``.

    Examples
    --------
    >>> import torch
    >>> from multiDGD.inference import Laplace
    >>> posterior = Laplace(torch.zeros(1, 2), 2 * torch.eye(2)[None])
    >>> posterior.variance
    tensor([[0.2500, 0.2500]])
    """

    mean: Tensor
    factor: Tensor

    @property
    def covariance(self) -> Tensor:
        """Covariance of each cell's representation, shape ``(n, d, d)``."""
        return torch.cholesky_inverse(self.factor)

    @property
    def variance(self) -> Tensor:
        """Variance of each dimension, shape ``(n, d)``."""
        identity = torch.eye(self.mean.shape[1]).to(self.factor)
        inverse = torch.linalg.solve_triangular(self.factor, identity, upper=False)
        return inverse.square().sum(1)

    def at(self, normal_snd: Tensor) -> Tensor:
        """Transform standard normal draws to posterior draws, shape ``(n_samples, n, d)``.

        Parameters
        ----------
        normal_snd
            Standard normal draws, shape ``(n_samples, n, d)``.
        """
        deviation_nds = torch.linalg.solve_triangular(
            self.factor.mT, normal_snd.permute(1, 2, 0), upper=True
        )
        return self.mean + deviation_nds.permute(2, 0, 1)

    def log_prob(self, representation_snd: Tensor, df: float = math.inf) -> Tensor:
        r"""Log density at representations (nats), float64, shape ``(n_samples, n)``.

        Parameters
        ----------
        representation_snd
            Shape ``(n_samples, n, d)``.
        df
            Degrees of freedom of a multivariate Student t with the same location and scale;
            infinite by default (normal density).
        """
        factor_ndd, d = self.factor.double(), self.mean.shape[1]
        deviation_snd = (representation_snd - self.mean).double()
        standard_snd = torch.einsum("snd,nde->sne", deviation_snd, factor_ndd)
        square_sn = standard_snd.square().sum(-1)
        log_det_n = factor_ndd.diagonal(dim1=1, dim2=2).log().sum(1)
        if math.isinf(df):
            return log_det_n - 0.5 * (d * math.log(2 * math.pi) + square_sn)
        log_gammas = math.lgamma((df + d) / 2) - math.lgamma(df / 2)
        tail_sn = 0.5 * (df + d) * torch.log1p(square_sn / df)
        return log_gammas + log_det_n - 0.5 * d * math.log(df * math.pi) - tail_sn

    def variance_along(self, direction_ndf: Tensor) -> Tensor:
        """Variance of linear functions of each representation, shape ``(n, f)``.

        Parameters
        ----------
        direction_ndf
            Gradients of the functions, shape ``(n, d, f)``.
        """
        scaled = torch.linalg.solve_triangular(self.factor, direction_ndf, upper=False)
        return scaled.square().sum(1)


@torch.no_grad()
def laplace(module: MultiDGDModule, batch: dict[str, Any], representation: Tensor) -> Laplace:
    r"""Laplace approximation of the posterior of each cell's representation.

    The precision is the sum of two terms and positive definite at any point. The first is the
    expected curvature of the negative log-likelihood, the Fisher information of the cell's counts
    about its representation (:func:`fisher_information`). The second is the precision of the
    mixtures' components, averaged over the cell's component posterior. The exact curvature of the
    mixtures is lower, by the disagreement of the components. The uncertainty of the decoder is
    not included.

    Parameters
    ----------
    module
        A trained module.
    batch
        A minibatch of n cells on the module's device. A label of -1 means an unknown class.
    representation
        MAP estimates, shape ``(n, n_representation)``.
    """
    precision = fisher_information(module, batch, representation)
    precision.diagonal(dim1=1, dim2=2).add_(prior_precision(module, batch, representation))
    return Laplace(representation, torch.linalg.cholesky(precision))


@torch.no_grad()
def fisher_information(
    module: MultiDGDModule, batch: dict[str, Any], representation: Tensor
) -> Tensor:
    r"""Fisher information of each cell's counts about its representation.

    It is :math:`\sum_m J_m^\top D_m J_m` over modalities. J is the Jacobian of the log means, and
    D the information of the counts about the log means. A modality with library size 0
    contributes nothing.

    Parameters
    ----------
    module, batch, representation
        As for :func:`laplace`.

    Returns
    -------
    Positive semi-definite (nats), shape ``(n, d, d)``.
    """
    n, d = representation.shape
    total = representation.new_zeros(n, d, d)
    hidden = module.decoder.hidden(module.decoder_input(representation, batch["continuous"]))
    for modality, jacobian_nhd in hidden_jacobians(module, batch, representation).items():
        library = batch["counts"][modality].library.to(representation)
        for cells in library.nonzero().split(_BLOCK_CELLS):
            cells = cells.squeeze(1)
            logits = module.decoder.head(modality).output(hidden[modality][cells])
            likelihood = module.likelihood(modality)
            root_nf = likelihood.fisher(likelihood.mean(logits, library[cells])).sqrt()
            information = torch.zeros_like(total[cells])
            for features, j_ndf in log_mean_jacobian(
                module, modality, logits, jacobian_nhd[cells]
            ):
                j_ndf *= root_nf[:, None, features]
                information.baddbmm_(j_ndf, j_ndf.mT)
            total[cells] += information
    return total


def log_mean_jacobian(
    module: MultiDGDModule,
    modality: str,
    logits_nf: Tensor,
    hidden_nhd: Tensor,
    features: Tensor | None = None,
) -> Iterator[tuple[slice, Tensor]]:
    """Yield derivatives of log means with respect to representations, in blocks of features.

    Parameters
    ----------
    module
        The module.
    modality
        Name of the modality.
    logits_nf
        Logits of the cells, shape ``(n, f)``.
    hidden_nhd
        Derivatives of the input of the modality's last layer, shape ``(n, h, d)``.
    features
        Indices of the features to use; all features by default.

    Yields
    ------
    Slice of these features, and their derivatives, shape ``(n, d, block)``.
    """
    n, h, d = hidden_nhd.shape
    weight_fh = module.decoder.head(modality).output.weight
    flat_hidden = hidden_nhd.mT.reshape(n * d, h)
    # A shift of all logits does not change their softmax.
    mean = module.likelihood(modality).mean_function
    centre_nh = mean.slope(mean.shares(logits_nf)) @ weight_fh
    centre = (centre_nh[:, None] @ hidden_nhd).view(n * d, 1)
    selected_fh = weight_fh if features is None else weight_fh[features]
    size = max(1, BLOCK_ELEMENTS // max(1, n * d))
    for first in range(0, len(selected_fh), size):
        block = slice(first, first + size)
        slope = torch.addmm(centre, flat_hidden, selected_fh[block].T, beta=-1)
        yield block, slope.view(n, d, slope.shape[1])
