"""Where representations, mixtures and decoder start from."""

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
    """Put all representations at the origin, as published.

    Parameters
    ----------
    module
        The module to start.
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
    """Put cells where an embedding has them, and mixtures and decoder where the cells ask.

    Parameters
    ----------
    module
        The module to start.
    embedding
        Shape ``(n_cells, n_latent)``. It is centred and scaled to half the softball's radius
        (root mean square of the training cells' norms).
    counts
        Counts of each modality, shape ``(n_cells, f)`` each.
    train_cells
        Positions of the training cells; the others shape nothing.
    labels
        Codes, -1 where unknown, shape ``(n_cells,)``.
    covariates
        Codes of each covariate, shape ``(n_cells, covariates)``.
    seed
        Of the clustering.
    """
    z_nl = into_softball(embedding, train_cells, module.config.softball[0])
    start = z_nl[train_cells]
    mixture = module.mixture
    if isinstance(mixture, GaussianMixtureSupervised):
        parameters = class_initialisation(
            start, labels[train_cells], mixture.Nclass, mixture.Ncompperclass, seed=seed
        )
    else:
        parameters = cluster_initialisation(start, mixture.n_mix_comp, seed=seed)
    mixture.initialize(*(torch.from_numpy(np.asarray(p)).float() for p in parameters))

    for covariate in module.mixtures_of_covariates:
        n, dim = covariate.mean.shape
        covariate.mean.copy_(_around_a_circle(n, dim, module.config.softball[0] / 2))
    codes = torch.from_numpy(covariates).to(module.device)
    u = category_means(module, codes)
    z = torch.from_numpy(z_nl).to(u)
    module.representations.z.copy_(torch.cat([z, u], dim=1))
    for modality, x in counts.items():
        total_f, n_measured = _totals(x, train_cells)
        # One pseudo-count for the whole modality keeps features without counts off minus infinity.
        count_f = torch.from_numpy(total_f + 1 / len(total_f))
        module.decoder.initialize_output({modality: count_f / (total_f.sum() + 1)})
        module.likelihood(modality).initialize(count_f / max(n_measured, 1))


def into_softball(embedding: np.ndarray, train_cells: np.ndarray, radius: float) -> np.ndarray:
    """Centre an embedding and give its norms a root mean square of half the radius."""
    x = np.asarray(embedding, dtype=np.float32)
    x = x - x[train_cells].mean(0)
    scale = np.sqrt((x[train_cells] ** 2).sum(1).mean())
    return x * (radius / 2 / scale) if scale > 0 else x


def _around_a_circle(n: int, dim: int, radius: float) -> Tensor:
    """Points apart from each other and, but for a single dimension, equally far from the middle."""
    if dim == 1:
        return torch.linspace(-radius, radius, n)[:, None]
    angle = 2 * torch.pi * torch.arange(n) / n
    points = torch.zeros(n, dim)
    points[:, 0] = radius * angle.cos()
    points[:, 1] = radius * angle.sin()
    return points


def _totals(x: sparse.csr_matrix, cells: np.ndarray) -> tuple[np.ndarray, int]:
    """Counts of each feature in some cells, and how many of these have any."""
    # By a product, since taking the rows would copy them.
    taken = np.zeros(x.shape[0])
    taken[cells] = 1
    return x.T @ taken, int(taken[np.diff(x.indptr) > 0].sum())
