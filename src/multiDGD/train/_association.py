"""How the means of features of one modality go with those of another, cell by cell."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
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
    chol_ll = torch.linalg.cholesky(population_covariance(module.mixture))
    covariance = chol_ll.new_zeros(len(sources), f)
    variance_source, variance_target = chol_ll.new_zeros(len(sources)), chol_ll.new_zeros(f)
    n_cells = 0
    for batch, rows in batches:
        for cells in torch.arange(len(rows), device=rows.device).split(_CELLS_AT_ONCE):
            w, continuous = rows[cells], batch["continuous"][cells]
            jacobians = hidden_jacobians(module, {"continuous": continuous}, w)
            logits = module.generative(w, continuous)["logits"]

            def scaled(modality: str, jacobians=jacobians, logits=logits):  # type: ignore[no-untyped-def]
                blocks = log_mean_jacobian(module, modality, logits[modality], jacobians[modality])
                for features, block_ndf in blocks:
                    yield features, chol_ll.T @ block_ndf[:, : module.n_latent]

            of_sources = torch.cat([b for _, b in scaled(source_modality)], dim=2)[:, :, sources]
            variance_source += of_sources.square().sum((0, 1))
            for features, block in scaled(target_modality):
                covariance[:, features] += (of_sources.mT @ block).sum(0)
                variance_target[features] += block.square().sum((0, 1))
            n_cells += len(cells)
    n = max(n_cells, 1)
    return Association(covariance / n, variance_source / n, variance_target / n)
