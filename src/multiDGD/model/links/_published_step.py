"""The published perturbation: a step of the representation against one feature."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from multiDGD.module import MultiDGDModule


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
