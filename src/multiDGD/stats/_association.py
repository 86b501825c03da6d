"""Correlation of features over a population, from their derivatives at each cell."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Association:
    r"""Covariance of log means under the variation of the population, averaged over cells.

    Near a cell, log means are :math:`\eta(z) \approx \eta(z_0) + J (z - z_0)`. Under
    :math:`z \sim N(z_0, C)` their covariance is :math:`J C J^\top`.

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

    @classmethod
    def from_slopes(
        cls,
        slopes: Iterable[tuple[Tensor, Iterable[tuple[slice, Tensor]]]],
        n_sources: int,
        n_targets: int,
    ) -> Association:
        r"""Average :math:`J C J^\top` over cells.

        Parameters
        ----------
        slopes
            For some cells at a time, rows of :math:`C^{1/2} J^\top`: those of the sources, shape
            ``(n, l, q)``, and those of the targets in blocks, each a slice of the targets and
            shape ``(n, l, block)``.
        n_sources, n_targets
            q and f.
        """
        covariance = torch.zeros(n_sources, n_targets)
        variance_source, variance_target = torch.zeros(n_sources), torch.zeros(n_targets)
        n_cells = 0
        for of_sources, blocks in slopes:
            covariance = covariance.to(of_sources)
            variance_source, variance_target = (
                variance_source.to(of_sources),
                variance_target.to(of_sources),
            )
            variance_source += of_sources.square().sum((0, 1))
            for targets, block in blocks:
                covariance[:, targets] += (of_sources.mT @ block).sum(0)
                variance_target[targets] += block.square().sum((0, 1))
            n_cells += len(of_sources)
        n = max(n_cells, 1)
        return cls(covariance / n, variance_source / n, variance_target / n)

    @property
    def correlation(self) -> Tensor:
        """Between -1 and 1, shape ``(q, f)``; 0 where a mean does not vary."""
        scale = (self.variance_source[:, None] * self.variance_target).sqrt()
        return torch.where(scale > 0, self.covariance / scale, 0.0)
