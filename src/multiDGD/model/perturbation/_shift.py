"""Representations of cells in which chosen features have other means."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from multiDGD.inference import population_covariance
from multiDGD.module import MultiDGDModule
from multiDGD.stats import conditional_shift


class Shift:
    r"""Representations after a change of the means of chosen features.

    Representations of the population vary with the covariance C
    (:func:`multiDGD.inference.population_covariance`). Of all moves that change the log means
    of some features by a given amount, the most probable one is taken
    (:func:`multiDGD.stats.conditional_shift`). The likelihood of the cell's own counts does not
    enter: the other counts would have been different too. Covariates stay as they are.

    Parameters
    ----------
    module
        A trained module.
    representation
        Representations of n cells, shape ``(n, n_representation)``.
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
        """Representations after the change.

        Parameters
        ----------
        features
            Indices of q features.
        modality
            Their modality.
        change_q
            Change of the log mean of each feature, shape ``(q,)``.

        Returns
        -------
        Shape ``(n, n_representation)``.
        """
        n_latent = self.module.n_latent
        z0, rest = self.start[:, :n_latent], self.start[:, n_latent:]
        at = torch.as_tensor(features, device=z0.device)

        def log_means(rows: Tensor | slice, z: Tensor) -> tuple[Tensor, Tensor]:
            return self._log_means(rows, torch.cat([z, rest[rows]], dim=1), at, modality)

        z = conditional_shift(log_means, z0, change_q, self.covariance)
        return torch.cat([z, rest], dim=1)

    @torch.no_grad()
    def log_fold_changes(
        self, features: Sequence[int], modality: str, change_q: Tensor
    ) -> dict[str, Tensor]:
        """Changes of all log means, shape ``(n, f)`` for each modality.

        Parameters
        ----------
        features, modality, change_q
            As for :meth:`__call__`.
        """
        after = self._log_shares(self(features, modality, change_q))
        return {m: after[m] - before for m, before in self.before.items()}

    @torch.no_grad()
    def _log_shares(self, w: Tensor) -> dict[str, Tensor]:
        logits = self.module.generative(w, self.continuous)["logits"]
        return {m: a.log_softmax(-1) for m, a in logits.items()}

    def _log_means(
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
