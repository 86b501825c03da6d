"""Published perturbation: a gradient step of the representation that reduces one feature."""

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
    """Reduce a feature by gradient steps of z, as published.

    Adam minimises the negative log-likelihood of a count of 0 of the feature at each cell's
    library size. Neither the other features nor the mixture contribute to the loss (Schuster et
    al., Nature Communications 2024, "gene2peak").

    Parameters
    ----------
    module
        A trained module.
    batch
        Minibatch of n cells.
    representation
        Representations of the cells, shape ``(n, n_representation)``.
    feature
        Position of the feature.
    modality
        Modality of the feature.
    n_steps
        Number of steps; 1 as published.
    lr, weight_decay, betas
        Settings of Adam, as published.

    Returns
    -------
    Representations after the steps, shape ``(n, n_representation)``.
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
