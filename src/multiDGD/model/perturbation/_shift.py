"""Shifts of representations that change the means of selected features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from multiDGD.inference import population_covariance
from multiDGD.module import MultiDGDModule
from multiDGD.stats import conditional_shift


class Shift:
    r"""Shift of representations that changes the means of selected features.

    Representations vary in the population with the covariance C
    (:func:`multiDGD.inference.population_covariance`). The shift is the most probable one that
    changes the log means of the features by a given amount
    (:func:`multiDGD.stats.conditional_shift`). The likelihood of the cell's counts is not part of
    the objective, because the other counts would also have been different. Covariates stay
    unchanged.

    Parameters
    ----------
    module
        A trained module.
    representation
        Representations of n cells, shape ``(n, n_representation)``.
    continuous
        Continuous covariates of the cells, shape ``(n, n_continuous)``.
    """

    def __init__(self, module: MultiDGDModule, representation: Tensor, continuous: Tensor) -> None:
        self.module = module
        self.continuous = continuous
        self.representation = representation
        self.covariance = population_covariance(module.mixture)
        self.baseline = self._log_shares(representation)

    @torch.no_grad()
    def __call__(self, features: Sequence[int], modality: str, change_q: Tensor) -> Tensor:
        """Representations after the shift.

        Parameters
        ----------
        features
            Positions of q features.
        modality
            Modality of the features.
        change_q
            Change of the log mean of each feature, shape ``(q,)``.

        Returns
        -------
        Shape ``(n, n_representation)``.
        """
        n_latent = self.module.n_latent
        z0, rest = self.representation[:, :n_latent], self.representation[:, n_latent:]
        at = torch.as_tensor(features, device=z0.device)

        def log_means(indices: Tensor | slice, z: Tensor) -> tuple[Tensor, Tensor]:
            return self._log_means(indices, torch.cat([z, rest[indices]], dim=1), at, modality)

        z = conditional_shift(log_means, z0, change_q, self.covariance)
        return torch.cat([z, rest], dim=1)

    @torch.no_grad()
    def log_fold_changes(
        self, features: Sequence[int], modality: str, change_q: Tensor
    ) -> dict[str, Tensor]:
        """Changes of the log means of all features, shape ``(n, f)`` for each modality.

        Parameters
        ----------
        features, modality, change_q
            As for :meth:`__call__`.
        """
        after = self._log_shares(self(features, modality, change_q))
        return {m: after[m] - baseline for m, baseline in self.baseline.items()}

    @torch.no_grad()
    def _log_shares(self, w: Tensor) -> dict[str, Tensor]:
        logits = self.module.generative(w, self.continuous)["logits"]
        return {
            m: self.module.likelihood(m).mean_function.log_shares(a) for m, a in logits.items()
        }

    def _log_means(
        self, indices: Tensor | slice, w: Tensor, at: Tensor, modality: str
    ) -> tuple[Tensor, Tensor]:
        """Log means of features, ``(n, q)``, and their derivatives by z, ``(n, q, l)``."""
        with torch.enable_grad():
            leaf = w.detach().requires_grad_()
            logits = self.module.generative(leaf, self.continuous[indices], [modality])["logits"]
            mean = self.module.likelihood(modality).mean_function
            eta = mean.log_shares(logits[modality])[:, at]
            slopes = [
                torch.autograd.grad(column.sum(), leaf, retain_graph=True)[0]
                for column in eta.unbind(1)
            ]
        return eta.detach(), torch.stack(slopes, dim=1)[:, :, : self.module.n_latent]
