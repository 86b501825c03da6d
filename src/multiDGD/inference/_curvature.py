"""Approximate curvature of negative log posteriors, from the information of an average cell."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from multiDGD.latent import GaussianMixture, GaussianMixtureSupervised
from multiDGD.module import MultiDGDModule

#: Maximum number of elements in a block of (components x features).
BLOCK_ELEMENTS = 2**24
# The information is computed at library sizes that are powers of this base.
_LEVEL_BASE = 4.0


class Curvature:
    r"""Fisher information of cells about their representations, plus the prior's curvature.

    Let W be the head's last weights and :math:`J_h` the Jacobian of the layers before. D is the
    Fisher information of the counts about the logarithm of their means. The information of a
    cell is then :math:`J_h^\top \tilde W^\top D \tilde W J_h`, with W̃ centred by the softmax.
    The factor :math:`\tilde W^\top D \tilde W` is expensive and varies little between cells of
    the same library size. It is therefore computed once for the average of the mixture's
    components at a few library sizes, whereas :math:`J_h` is computed for each cell.

    Parameters
    ----------
    module
        A trained module. Its parameters must not change, because results are cached.
    """

    def __init__(self, module: MultiDGDModule) -> None:
        self.module = module
        self._efficiencies: dict[tuple[str, int], Tensor] = {}
        self._informations: dict[tuple[str, int], Tensor] = {}

    @torch.no_grad()
    def __call__(self, batch: dict[str, Any], representation: Tensor) -> Tensor:
        """Positive definite curvature at given representations (nats).

        Parameters
        ----------
        batch
            A minibatch of n cells.
        representation
            Shape ``(n, n_representation)``.

        Returns
        -------
        Shape ``(n, n_representation, n_representation)``.
        """
        total = torch.diag_embed(prior_precision(self.module, batch, representation))
        for modality, jacobian_nhd in hidden_jacobians(self.module, batch, representation).items():
            counts = batch["counts"][modality]
            for level, cells in _by_level(counts.library):
                j = jacobian_nhd[cells]
                information = j.mT @ self._information(modality, level) @ j
                total[cells] += counts.library[cells, None, None] * information
        return total

    @torch.no_grad()
    def efficiency(self, modality: str, library_n: Tensor) -> Tensor:
        """Information of a count relative to that of a Poisson count.

        Overdispersed counts carry less information: a few per cent for abundant proteins.

        Parameters
        ----------
        modality
            Name of the modality.
        library_n
            Total count of each cell, shape ``(n,)``.

        Returns
        -------
        Between 0 and 1, shape ``(n,)``.
        """
        efficiency_n = torch.ones_like(library_n)
        for level, cells in _by_level(library_n):
            efficiency_n[cells] = self._efficiency(modality, level).to(efficiency_n)
        return efficiency_n

    def times_information(self, modality: str, library_n: Tensor, x_nh: Tensor) -> Tensor:
        """Information about the inputs of the output layer, times a vector for each cell.

        Parameters
        ----------
        modality
            Name of the modality.
        library_n
            Total count of each cell, shape ``(n,)``.
        x_nh
            Vectors, shape ``(n, h)``.
        """
        product_nh = torch.zeros_like(x_nh)
        for level, cells in _by_level(library_n):
            information = self._information(modality, level)
            if len(cells) == len(x_nh):
                product_nh = x_nh @ information
            else:
                product_nh = product_nh.index_add(0, cells, x_nh[cells] @ information)
        return library_n[:, None] * product_nh

    def _efficiency(self, modality: str, level: int) -> Tensor:
        key = modality, level
        if key not in self._efficiencies:
            mean = self.module.likelihood(modality).mean_function
            parts = [
                (pi @ (d_kf / mean.expected_total(share_kf))).sum()
                for pi, share_kf, d_kf in self._fisher(modality, level)
            ]
            self._efficiencies[key] = torch.stack(parts).sum()
        return self._efficiencies[key]

    @torch.no_grad()
    def _information(self, modality: str, level: int) -> Tensor:
        """W̃ᵀ D W̃ per count of an average cell, shape ``(h, h)``."""
        key = modality, level
        if key not in self._informations:
            weight_fh = self.module.decoder.head(modality).output.weight
            mean = self.module.likelihood(modality).mean_function
            average_f = weight_fh.new_zeros(len(weight_fh))
            centring_hh = weight_fh.new_zeros(weight_fh.shape[1], weight_fh.shape[1])
            for pi_k, share_kf, d_kf in self._fisher(modality, level):
                average_f += pi_k @ d_kf
                centre_kh, weighted_kh = mean.slope(share_kf) @ weight_fh, d_kf @ weight_fh
                centring_hh += centre_kh.T @ (pi_k[:, None] * weighted_kh)
                weighted_kh -= centre_kh * d_kf.sum(1, keepdim=True)
                centring_hh += weighted_kh.T @ (pi_k[:, None] * centre_kh)
            second_hh = weight_fh.T @ (average_f[:, None] * weight_fh)
            self._informations[key] = second_hh - centring_hh
        return self._informations[key]

    def _fisher(self, modality: str, level: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield weights, shares and information per count for blocks of components."""
        module, library = self.module, _LEVEL_BASE**level
        likelihood = module.likelihood(modality)
        mean_kl, pi_k = module.mixture.mean, module.mixture.mixture_probs()
        u = [m.mean.mean(0) for m in module.mixtures_of_covariates]
        covariate_mean = torch.cat([*u, mean_kl.new_zeros(0)])
        size = max(1, BLOCK_ELEMENTS // likelihood.n_features)
        for mean, pi in zip(mean_kl.split(size), pi_k.split(size), strict=True):
            w = torch.cat([mean, covariate_mean.expand(len(mean), -1)], dim=1)
            continuous = module.continuous_mean.expand(len(mean), -1)
            logits = module.generative(w, continuous, [modality])["logits"][modality]
            share = likelihood.mean_function.shares(logits)
            yield pi, share, likelihood.fisher(library * share) / library


def hidden_jacobians(
    module: MultiDGDModule, batch: dict[str, Any], representation: Tensor
) -> dict[str, Tensor]:
    """Jacobians of the inputs of the output layers with respect to the representations.

    Parameters
    ----------
    module
        The module. Its layers must be linear or elementwise.
    batch
        A minibatch of n cells.
    representation
        Shape ``(n, n_representation)``.

    Returns
    -------
    Shape ``(n, h, n_representation)`` for each modality.
    """
    decoder = module.decoder
    latent = module.decoder_input(representation, batch["continuous"])
    identity = torch.eye(latent.shape[1], module.n_representation).to(latent)
    trunk, jacobian = _propagate(decoder.trunk, latent, identity)
    return {m: _propagate(decoder.head(m).hidden, trunk, jacobian)[1] for m in module.modalities}


def _propagate(
    layers: Iterable[nn.Module], x_nh: Tensor, jacobian: Tensor
) -> tuple[Tensor, Tensor]:
    """Output of a sequence of layers and its Jacobian."""
    for layer in layers:
        if isinstance(layer, nn.Linear):
            jacobian = layer.weight @ jacobian
            x_nh = layer(x_nh)
        else:
            with torch.enable_grad():
                leaf = x_nh.detach().requires_grad_()
                output = layer(leaf)
                (slope,) = torch.autograd.grad(output.sum(), leaf)
            jacobian = slope[..., None] * jacobian
            x_nh = output.detach()
    return x_nh, jacobian


def _by_level(library_n: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Group cells by library size, rounded to the nearest power of 4.

    Cells with library size 0 are skipped. The level of a cell does not depend on other cells.
    """
    level_n = (library_n.clamp(min=1).log() / math.log(_LEVEL_BASE)).round().long()
    level_n = level_n.masked_fill(library_n <= 0, -1)
    for level in level_n.unique().tolist():
        if level >= 0:
            yield level, (level_n == level).nonzero().squeeze(-1)


def prior_precision(
    module: MultiDGDModule, batch: dict[str, Any], representation: Tensor
) -> Tensor:
    """Precisions of the mixtures' components, averaged over each cell's component posterior.

    The exact curvature of a mixture is smaller, by the disagreement of its components, and may
    be negative between them.

    Parameters
    ----------
    module
        The module.
    batch
        A minibatch of n cells.
    representation
        Shape ``(n, n_representation)``.

    Returns
    -------
    Shape ``(n, n_representation)``.
    """
    z_nl, u = module.split(representation)
    precision_nl = _precision(module.mixture, z_nl, batch["labels"])
    parts = [module.mixture_weights(batch["counts"])[:, None] * precision_nl]
    for column, mixture, x in zip(
        module.covariate_columns, module.mixtures_of_covariates, u, strict=True
    ):
        parts.append(_precision(mixture, x, batch["covariates"][:, column]))
    return torch.cat(parts, dim=1)


def _precision(mixture: GaussianMixture, x_nl: Tensor, code_n: Tensor) -> Tensor:
    log_joint_nk = mixture.component_log_prob(x_nl)
    if isinstance(mixture, GaussianMixtureSupervised):
        class_k = torch.arange(mixture.n_mix_comp, device=x_nl.device) // mixture.Ncompperclass
        other_nk = (class_k != code_n[:, None]) & (code_n[:, None] >= 0)
        log_joint_nk = log_joint_nk.masked_fill(other_nk, -torch.inf)
    return log_joint_nk.softmax(1) @ mixture.neglogvar.exp().expand(-1, mixture.dim)
