"""Covariance of features over a population, from their derivatives at each cell."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Association:
    r"""Covariance of log means under the variation of the population, averaged over cells.

    Near a cell at :math:`z_0`, log means are :math:`\eta(z) \approx \eta(z_0) + J (z - z_0)`. For
    :math:`z \sim N(z_0, C)`, their covariance is :math:`J C J^\top`.

    Attributes
    ----------
    covariance
        Covariance of q sources with f targets, shape ``(q, f)``.
    variance_source, variance_target
        Variances of sources and targets, shapes ``(q,)`` and ``(f,)``.
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
            Minibatches of :math:`C^{1/2} J^\top`. Each is a pair of the sources, shape
            ``(n, l, q)``, and blocks of the targets. A block is a pair of a slice of the targets
            and their values, shape ``(n, l, block)``.
        n_sources, n_targets
            Numbers q and f of features.
        """
        covariance = torch.zeros(n_sources, n_targets)
        variance_source, variance_target = torch.zeros(n_sources), torch.zeros(n_targets)
        n_cells = 0
        for source, blocks in slopes:
            covariance = covariance.to(source)
            variance_source, variance_target = (
                variance_source.to(source),
                variance_target.to(source),
            )
            variance_source += source.square().sum((0, 1))
            for targets, block in blocks:
                covariance[:, targets] += (source.mT @ block).sum(0)
                variance_target[targets] += block.square().sum((0, 1))
            n_cells += len(source)
        n = max(n_cells, 1)
        return cls(covariance / n, variance_source / n, variance_target / n)

    @property
    def correlation(self) -> Tensor:
        """Correlation of sources with targets, shape ``(q, f)``; 0 if a mean does not vary."""
        scale = (self.variance_source[:, None] * self.variance_target).sqrt()
        return torch.where(scale > 0, self.covariance / scale, 0.0)
