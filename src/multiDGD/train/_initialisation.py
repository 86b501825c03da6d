"""Initialisation of representations, mixtures and decoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from multiDGD.init import CountBlocks, class_initialisation, cluster_initialisation
from multiDGD.latent import GaussianMixtureSupervised
from multiDGD.module import MultiDGDModule, category_means

from ._average_profile import average_profile


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
    counts: Mapping[str, sparse.csr_matrix | CountBlocks],
    *,
    train_cells: np.ndarray,
    labels: np.ndarray,
    covariates: np.ndarray,
    libraries: np.ndarray | None = None,
    panels: tuple[Sequence[Mapping[str, np.ndarray]], np.ndarray] | None = None,
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
        Counts of each modality, shape ``(n_cells, f)`` each, in memory or in blocks.
    train_cells
        Indices of the training cells. Other cells do not affect the mixtures and the decoder.
    labels
        Codes, -1 if unknown, shape ``(n_cells,)``.
    covariates
        Codes of each covariate, shape ``(n_cells, covariates)``.
    libraries
        Library size of each cell in each modality, shape ``(n_cells, modalities)``; total counts
        by default.
    panels
        Measured features of each panel and panel of each cell, as for
        :class:`multiDGD.module.FeaturePanels`. By default, all features were measured.
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
    for number, (modality, x) in enumerate(counts.items()):
        library_n = _totals(x) if libraries is None else libraries[:, number]
        masks, panel_of_cell = _masks(panels, modality, x.shape)
        share_f, mean_f = average_profile(x, library_n, masks, panel_of_cell, train_cells)
        module.decoder.initialize_output({modality: torch.from_numpy(share_f)})
        module.likelihood(modality).initialize(torch.from_numpy(mean_f))


def _totals(x: sparse.csr_matrix | CountBlocks) -> np.ndarray:
    """Total count of each cell, shape ``(n_cells,)``."""
    blocks = x if isinstance(x, CountBlocks) else [x]
    return np.concatenate([np.asarray(block.sum(1)).ravel() for block in blocks])


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


def _masks(
    panels: tuple[Sequence[Mapping[str, np.ndarray]], np.ndarray] | None,
    modality: str,
    shape: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Masks of the measured features, shape ``(panels, f)``, and the panel of each cell."""
    if panels is None:
        return np.ones((1, shape[1]), dtype=bool), np.zeros(shape[0], dtype=np.int64)
    masks = np.zeros((len(panels[0]), shape[1]), dtype=bool)
    for mask_f, observed in zip(masks, panels[0], strict=True):
        mask_f[observed.get(modality, [])] = True
    return masks, panels[1]
