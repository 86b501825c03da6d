"""Associations of features through the decoder: how their means vary together over cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from multiDGD.module import MultiDGDModule
from multiDGD.stats import Association

from ._curvature import hidden_jacobians
from ._laplace import log_mean_jacobian
from ._population import population_covariance

# Cells whose Jacobians are in memory at once.
_CELLS_AT_ONCE = 32


@torch.no_grad()
def associations(
    module: MultiDGDModule,
    batches: Iterable[tuple[dict[str, Any], Tensor]],
    sources: Tensor,
    source_modality: str,
    target_modality: str,
) -> Association:
    """Associate features of one modality with all features of another.

    Parameters
    ----------
    module
        A trained module.
    batches
        Minibatches of cells, each with its representations.
    sources
        Indices of q features of ``source_modality``.
    source_modality, target_modality
        Names of modalities, which may be the same.
    """
    slopes = (
        (torch.cat([b for _, b in at(source_modality, sources)], dim=2), at(target_modality))
        for at in _slopes(module, batches, {source_modality, target_modality})
    )
    n_targets = module.likelihood(target_modality).n_features
    return Association.from_slopes(slopes, len(sources), n_targets)


@torch.no_grad()
def log_mean_variances(
    module: MultiDGDModule,
    batches: Iterable[tuple[dict[str, Any], Tensor]],
    features: Tensor,
    modality: str,
) -> Tensor:
    """Variance of log means under the variation of the population, averaged over cells.

    Equal to ``variance_source`` of :func:`associations`, without the cost of targets.

    Parameters
    ----------
    module, batches
        As for :func:`associations`.
    features
        Indices of q features.
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
    """For some cells at a time, a function of modality and features that yields derivatives.

    These are derivatives of log means by z in units of the population's standard deviations, in
    blocks of features, shape ``(n, n_latent, block)``.
    """
    root_ll = torch.linalg.cholesky(population_covariance(module.mixture)).T
    for batch, representation in batches:
        for w, continuous in zip(
            representation.split(_CELLS_AT_ONCE),
            batch["continuous"].split(_CELLS_AT_ONCE),
            strict=True,
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
