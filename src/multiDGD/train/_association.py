"""How the means of features of one modality go with those of another, cell by cell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from multiDGD.module import MultiDGDModule

from ._curvature import hidden_jacobians
from ._laplace import log_mean_jacobian
from ._shift import population_covariance

# Cells whose Jacobians are held at once.
_CELLS_AT_ONCE = 32


@dataclass(frozen=True)
class Association:
    r"""Covariance of log means under the variation of the population, mean over cells.

    Around a cell log means are :math:`\eta(z) \approx \eta(z_0) + J (z - z_0)`, so under
    :math:`z \sim N(z_0, C)` they covary as :math:`J C J^\top`.

    Attributes
    ----------
    covariance
        Between q sources and f targets, shape ``(q, f)``.
    variance_source, variance_target
        Shape ``(q,)`` and ``(f,)``.
    """

    covariance: Tensor
    variance_source: Tensor
    variance_target: Tensor

    @property
    def correlation(self) -> Tensor:
        """Between -1 and 1, shape ``(q, f)``; 0 where a mean does not vary."""
        scale = (self.variance_source[:, None] * self.variance_target).sqrt()
        return torch.where(scale > 0, self.covariance / scale, 0.0)


@torch.no_grad()
def associations(
    module: MultiDGDModule,
    batches: Iterable[tuple[dict[str, Any], Tensor]],
    sources: Tensor,
    source_modality: str,
    target_modality: str,
) -> Association:
    """Associate features of one modality with all of another.

    Parameters
    ----------
    module
        A trained module.
    batches
        Minibatches of cells, each with its rows.
    sources
        Positions of q features of ``source_modality``.
    source_modality, target_modality
        Names of modalities, which may be the same.
    """
    f = module.likelihood(target_modality).n_features
    covariance = module.mixture.mean.new_zeros(len(sources), f)
    variance_source, variance_target = covariance.new_zeros(len(sources)), covariance.new_zeros(f)
    n_cells = 0
    for slopes in _slopes(module, batches, {source_modality, target_modality}):
        of_sources = torch.cat([b for _, b in slopes(source_modality, sources)], dim=2)
        variance_source += of_sources.square().sum((0, 1))
        for features, block in slopes(target_modality):
            covariance[:, features] += (of_sources.mT @ block).sum(0)
            variance_target[features] += block.square().sum((0, 1))
        n_cells += len(of_sources)
    n = max(n_cells, 1)
    return Association(covariance / n, variance_source / n, variance_target / n)


@torch.no_grad()
def log_mean_variances(
    module: MultiDGDModule,
    batches: Iterable[tuple[dict[str, Any], Tensor]],
    features: Tensor,
    modality: str,
) -> Tensor:
    """Variance of log means under the variation of the population, mean over cells.

    The ``variance_source`` of :func:`associations`, without what it costs to have targets.

    Parameters
    ----------
    module, batches
        As there.
    features
        Positions of q features.
    modality
        Their modality.

    Returns
    -------
    Shape ``(q,)``.
    """
    total, n_cells = module.mixture.mean.new_zeros(len(features)), 0
    for slopes in _slopes(module, batches, {modality}):
        found = torch.cat([b for _, b in slopes(modality, features)], dim=2)
        total += found.square().sum((0, 1))
        n_cells += len(found)
    return total / max(n_cells, 1)


def _slopes(
    module: MultiDGDModule,
    batches: Iterable[tuple[dict[str, Any], Tensor]],
    modalities: set[str],
) -> Iterator[Callable[..., Iterator[tuple[slice, Tensor]]]]:
    """For a few cells at a time what gives :func:`log_mean_jacobian`, z in standard deviations.

    Blocks have the shape ``(n, n_latent, block)``, times a root of the population's covariance.
    """
    root_ll = torch.linalg.cholesky(population_covariance(module.mixture)).T
    for batch, rows in batches:
        for w, continuous in zip(
            rows.split(_CELLS_AT_ONCE), batch["continuous"].split(_CELLS_AT_ONCE), strict=True
        ):
            jacobians = hidden_jacobians(module, {"continuous": continuous}, w)
            logits = module.generative(w, continuous, list(modalities))["logits"]
            yield partial(_scaled, module, root_ll, jacobians, logits)


def _scaled(
    module: MultiDGDModule,
    root_ll: Tensor,
    jacobians: Mapping[str, Tensor],
    logits: Mapping[str, Tensor],
    modality: str,
    features: Tensor | None = None,
) -> Iterator[tuple[slice, Tensor]]:
    given = logits[modality], jacobians[modality], features
    for block, slope_ndf in log_mean_jacobian(module, modality, *given):
        yield block, root_ll @ slope_ndf[:, : module.n_latent]
