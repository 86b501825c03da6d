"""Initialisation of representations, mixtures and decoder."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from multiDGD.init import class_initialisation, cluster_initialisation
from multiDGD.latent import GaussianMixtureSupervised
from multiDGD.module import MultiDGDModule, category_means


@torch.no_grad()
def initialise_at_zero(module: MultiDGDModule) -> None:
    """Initialise all representations at the origin, as published.

    Parameters
    ----------
    module
        The module to initialise.
    """
    module.representations.z.zero_()


@torch.no_grad()
def initialise_from_embedding(
    module: MultiDGDModule,
    embedding: np.ndarray,
    counts: Mapping[str, sparse.csr_matrix],
    *,
    train_cells: np.ndarray,
    labels: np.ndarray,
    covariates: np.ndarray,
    seed: int = 0,
) -> None:
    """Initialise representations from an embedding, mixtures and decoder from training cells.

    Parameters
    ----------
    module
        The module to initialise.
    embedding
        Shape ``(n_cells, n_latent)``. It is centred and scaled to half the softball's radius
        (root mean square of the training cells' norms).
    counts
        Counts of each modality, shape ``(n_cells, f)`` each.
    train_cells
        Indices of the training cells. Other cells do not affect the mixtures and the decoder.
    labels
        Codes, -1 if unknown, shape ``(n_cells,)``.
    covariates
        Codes of each covariate, shape ``(n_cells, covariates)``.
    seed
        Seed of the clustering.
    """
    z_nl = scale_to_softball(embedding, train_cells, module.config.softball[0])
    z_train = z_nl[train_cells]
    mixture = module.mixture
    if isinstance(mixture, GaussianMixtureSupervised):
        parameters = class_initialisation(
            z_train, labels[train_cells], mixture.Nclass, mixture.Ncompperclass, seed=seed
        )
    else:
        parameters = cluster_initialisation(z_train, mixture.n_mix_comp, seed=seed)
    mixture.initialize(*(torch.from_numpy(np.asarray(p)).float() for p in parameters))

    for covariate in module.mixtures_of_covariates:
        n, dim = covariate.mean.shape
        covariate.mean.copy_(_circle(n, dim, module.config.softball[0] / 2))
    codes = torch.from_numpy(covariates).to(module.device)
    u = category_means(module, codes)
    z = torch.from_numpy(z_nl).to(u)
    module.representations.z.copy_(torch.cat([z, u], dim=1))
    for modality, x in counts.items():
        total_f, n_measured = _totals(x, train_cells)
        # One pseudo-count per modality keeps the logits of features without counts finite.
        count_f = torch.from_numpy(total_f + 1 / len(total_f))
        module.decoder.initialize_output({modality: count_f / (total_f.sum() + 1)})
        module.likelihood(modality).initialize(count_f / max(n_measured, 1))


def scale_to_softball(embedding: np.ndarray, train_cells: np.ndarray, radius: float) -> np.ndarray:
    """Centre an embedding and scale its norms to a root mean square of half the radius."""
    x = np.asarray(embedding, dtype=np.float32)
    x = x - x[train_cells].mean(0)
    scale = np.sqrt((x[train_cells] ** 2).sum(1).mean())
    return x * (radius / 2 / scale) if scale > 0 else x


def _circle(n: int, dim: int, radius: float) -> Tensor:
    """Points equally spaced on a circle, or on a line if there is only one dimension."""
    if dim == 1:
        return torch.linspace(-radius, radius, n)[:, None]
    angle = 2 * torch.pi * torch.arange(n) / n
    points = torch.zeros(n, dim)
    points[:, 0] = radius * angle.cos()
    points[:, 1] = radius * angle.sin()
    return points


def _totals(x: sparse.csr_matrix, cells: np.ndarray) -> tuple[np.ndarray, int]:
    """Total count of each feature in the given cells, and number of these cells with counts."""
    # A matrix product, because indexing would copy the rows.
    selected = np.zeros(x.shape[0])
    selected[cells] = 1
    return x.T @ selected, int(selected[np.diff(x.indptr) > 0].sum())
