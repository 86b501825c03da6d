"""The most likely way for a cell to change the means of chosen features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from multiDGD.latent import GaussianMixture
from multiDGD.module import MultiDGDModule

from ._newton import minimize

# Log means are allowed to miss their target by this (one standard deviation, in nats): a change
# that the decoder can hardly make is then not forced.
_SLACK = 0.05
# In nats, and evaluations.
_TOLERANCE, _MAX_STEPS = 1e-3, 30


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


class Shift:
    r"""Representations at which chosen features have other means, and the rest what goes with it.

    Cells of the population vary with the covariance C (:func:`population_covariance`). Of all moves
    of a cell from :math:`z_0` that change the log means :math:`\eta(z)` of some features by
    :math:`\delta`, the most likely one minimises

    .. math::
        (z - z_0)^\top C^{-1} (z - z_0)
            + \|\eta(z) - \eta(z_0) - \delta\|^2 / \sigma^2

    with a small :math:`\sigma`. The cell's own other counts have no say in it: they are what
    would have been different. Covariates stay as they are.

    Parameters
    ----------
    module
        A trained module.
    representation
        Rows of n cells, shape ``(n, n_representation)``.
    continuous
        Their continuous covariates, shape ``(n, n_continuous)``.
    """

    def __init__(self, module: MultiDGDModule, representation: Tensor, continuous: Tensor) -> None:
        self.module = module
        self.continuous = continuous
        self.start = representation
        self.covariance = population_covariance(module.mixture)
        self.before = self._log_shares(representation)

    @torch.no_grad()
    def __call__(self, features: Sequence[int], modality: str, change_q: Tensor) -> Tensor:
        """Rows after the change.

        Parameters
        ----------
        features
            Positions of q features.
        modality
            Their modality.
        change_q
            Change of the logarithm of each one's mean, shape ``(q,)``.

        Returns
        -------
        Shape ``(n, n_representation)``.
        """
        n_latent = self.module.n_latent
        z0, rest = self.start[:, :n_latent], self.start[:, n_latent:]
        at = torch.as_tensor(features, device=z0.device)
        eta0_nq, jacobian = self._at(slice(None), self.start, at, modality)
        precision = torch.linalg.inv(self.covariance)

        def objective(rows: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
            w = torch.cat([z, rest[rows]], dim=1)
            eta, slopes = self._at(rows, w, at, modality)
            missed = (eta - eta0_nq[rows] - change_q) / _SLACK**2
            moved = z - z0[rows]
            pull = moved @ precision
            value = 0.5 * ((moved * pull).sum(1) + _SLACK**2 * missed.square().sum(1))
            return value, pull + (missed[:, None] @ slopes).squeeze(1)

        c_j = self.covariance @ jacobian.mT
        slack = _SLACK**2 * torch.eye(len(at)).to(z0)
        inverse = self.covariance - c_j @ torch.linalg.solve(jacobian @ c_j + slack, c_j.mT)
        inverse = (inverse + inverse.mT) / 2
        z, _ = minimize(objective, z0, inverse, tolerance=_TOLERANCE, max_steps=_MAX_STEPS)
        return torch.cat([z, rest], dim=1)

    @torch.no_grad()
    def log_fold_changes(
        self, features: Sequence[int], modality: str, change_q: Tensor
    ) -> dict[str, Tensor]:
        """Change of all log means that comes with it, shape ``(n, f)`` for each modality.

        Parameters
        ----------
        features, modality, change_q
            As for calling the object.
        """
        after = self._log_shares(self(features, modality, change_q))
        return {m: after[m] - before for m, before in self.before.items()}

    @torch.no_grad()
    def _log_shares(self, w: Tensor) -> dict[str, Tensor]:
        logits = self.module.generative(w, self.continuous)["logits"]
        return {m: a.log_softmax(-1) for m, a in logits.items()}

    def _at(
        self, rows: Tensor | slice, w: Tensor, at: Tensor, modality: str
    ) -> tuple[Tensor, Tensor]:
        """Log means of some features, ``(n, q)``, and their derivatives by z, ``(n, q, l)``."""
        with torch.enable_grad():
            leaf = w.detach().requires_grad_()
            logits = self.module.generative(leaf, self.continuous[rows], [modality])["logits"]
            eta = logits[modality].log_softmax(-1)[:, at]
            slopes = [
                torch.autograd.grad(column.sum(), leaf, retain_graph=True)[0]
                for column in eta.unbind(1)
            ]
        return eta.detach(), torch.stack(slopes, dim=1)[:, :, : self.module.n_latent]


def published_step(
    module: MultiDGDModule,
    batch: dict[str, Any],
    representation: Tensor,
    feature: int,
    modality: str,
    *,
    n_steps: int = 1,
    lr: float = 1e-2,
    weight_decay: float = 1e-4,
    betas: tuple[float, float] = (0.5, 0.7),
) -> Tensor:
    """Steps of z towards not expressing a feature, as published.

    Adam on the negative log-likelihood of a count of 0 of this feature alone, at each cell's
    library size; neither the other features nor the mixture have a say (Schuster et al., Nature
    Communications 2024, "gene2peak").

    Parameters
    ----------
    module, batch, representation
        As for :class:`Shift`.
    feature
        Position of the feature.
    modality
        Its modality.
    n_steps
        Steps, 1 as published.
    lr, weight_decay, betas
        Those of Adam, as published.

    Returns
    -------
    Shape ``(n, n_representation)``.
    """
    likelihood = module.likelihood(modality)
    library_n = batch["counts"][modality].library
    n_latent = module.n_latent
    with torch.enable_grad():
        z = representation[:, :n_latent].detach().clone().requires_grad_()
        rest = representation[:, n_latent:]
        optimizer = torch.optim.Adam([z], lr=lr, weight_decay=weight_decay, betas=betas)
        for _ in range(n_steps):
            w = torch.cat([z, rest], dim=1)
            logits = module.generative(w, batch["continuous"], [modality])["logits"][modality]
            log_prob = likelihood.log_prob_zero(likelihood.mean(logits, library_n.to(logits)))
            (z.grad,) = torch.autograd.grad(-log_prob[:, feature].sum(), z)
            optimizer.step()
    return torch.cat([z.detach(), rest], dim=1)
