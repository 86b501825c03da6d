"""Associations of features: how their decoded means covary over the population."""

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

# Number of cells whose Jacobians are in memory at once.
_BLOCK_CELLS = 32


@torch.no_grad()
def associations(
    module: MultiDGDModule,
    batches: Iterable[tuple[dict[str, Any], Tensor]],
    sources: Tensor,
    source_modality: str,
    target_modality: str,
    targets: Tensor | None = None,
) -> Association:
    """Associate features of one modality with features of another.

    Parameters
    ----------
    module
        A trained module.
    batches
        Minibatches of cells and their representations.
    sources
        Indices of q features of ``source_modality``.
    source_modality, target_modality
        Names of the modalities, which may be the same.
    targets
        Indices of features of ``target_modality``; all by default.
    """
    slopes = (
        (
            torch.cat([b for _, b in slopes_of(source_modality, sources)], dim=2),
            slopes_of(target_modality, targets),
        )
        for slopes_of in _slopes(module, batches, {source_modality, target_modality})
    )
    n_targets = module.likelihood(target_modality).n_features if targets is None else len(targets)
    return Association.from_slopes(slopes, len(sources), n_targets)


@torch.no_grad()
def log_mean_variances(
    module: MultiDGDModule,
    batches: Iterable[tuple[dict[str, Any], Tensor]],
    features: Tensor,
    modality: str,
) -> Tensor:
    """Variance of log means due to the population variance of z, averaged over cells.

    It equals ``variance_source`` of :func:`associations`, without the cost of the targets.

    Parameters
    ----------
    module, batches
        As for :func:`associations`.
    features
        Indices of q features.
    modality
        Name of their modality.

    Returns
    -------
    Shape ``(q,)``.
    """
    total, n_cells = module.mixture.mean.new_zeros(len(features)), 0
    for slopes_of in _slopes(module, batches, {modality}):
        slope_nlq = torch.cat([b for _, b in slopes_of(modality, features)], dim=2)
        total += slope_nlq.square().sum((0, 1))
        n_cells += len(slope_nlq)
    return total / max(n_cells, 1)


def _slopes(
    module: MultiDGDModule,
    batches: Iterable[tuple[dict[str, Any], Tensor]],
    modalities: set[str],
) -> Iterator[Callable[..., Iterator[tuple[slice, Tensor]]]]:
    """Yield a function of modality and features for each block of cells; see `_scaled_slopes`."""
    root_ll = torch.linalg.cholesky(population_covariance(module.mixture)).T
    for batch, representation in batches:
        for w, continuous in zip(
            representation.split(_BLOCK_CELLS),
            batch["continuous"].split(_BLOCK_CELLS),
            strict=True,
        ):
            jacobians = hidden_jacobians(module, {"continuous": continuous}, w)
            logits = module.generative(w, continuous, list(modalities))["logits"]
            yield partial(_scaled_slopes, module, root_ll, jacobians, logits)


def _scaled_slopes(
    module: MultiDGDModule,
    root_ll: Tensor,
    jacobians: Mapping[str, Tensor],
    logits: Mapping[str, Tensor],
    modality: str,
    features: Tensor | None = None,
) -> Iterator[tuple[slice, Tensor]]:
    """Yield derivatives of log means with respect to z whitened by the population covariance.

    They come in blocks of features, shape ``(n, n_latent, block)``.
    """
    for block, slope_ndf in log_mean_jacobian(
        module, modality, logits[modality], jacobians[modality], features
    ):
        yield block, root_ll @ slope_ndf[:, : module.n_latent]
