"""Densities of samples in latent space, as mixtures with one distribution for each cell."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

# Cells of a sample that are added in the mean density, so that logarithms are finite.
_PSEUDO_CELLS = 0.5
# Nearest cells that determine the bandwidth, relative to the wanted number of cells.
_CANDIDATES = 8
# Smallest standard deviation, and the largest one relative to the distance of the candidates.
_MIN_WIDTH, _MAX_WIDTH = 1e-6, 1e2
_N_BISECTIONS = 20
# Bandwidths are powers of this ratio, so that cells share them.
_RATIO = 2**0.125


@dataclass(frozen=True)
class SampleDensities:
    """Mixture distribution of each sample, with equal weights for its cells.

    Attributes
    ----------
    mean_ml
        Mean of each cell's posterior, shape ``(m, l)``.
    variance_ml
        Variance of each dimension.
    sample_m
        Sample of each cell, ``0 ... n_samples - 1``.
    n_samples
        Number of samples, each of which has cells.

    Examples
    --------
    >>> import torch
    >>> from multiDGD.stats import SampleDensities
    >>> densities = SampleDensities(torch.zeros(2, 1), torch.ones(2, 1), torch.tensor([0, 1]), 2)
    >>> densities.log_density(torch.zeros(1, 1))
    tensor([[-0.9189, -0.9189]])
    """

    mean_ml: Tensor
    variance_ml: Tensor
    sample_m: Tensor
    n_samples: int

    def log_density(self, z_nl: Tensor, dof: float | None = None) -> Tensor:
        """Log density of each sample at given points (nats), shape ``(n, s)``.

        Parameters
        ----------
        z_nl
            Points, shape ``(n, l)``.
        dof
            Degrees of freedom of independent t distributions in all dimensions, with the standard
            deviations of the posteriors as scales; normal distributions if `None`.
        """
        if dof is None:
            log_nm = self._log_normal(z_nl, 0.0)
        else:
            log_nm = self._log_student(z_nl, dof)
        return self._by_sample(log_nm) - self._counts().log()

    def smoothed(self, z_nl: Tensor, own_n: Tensor, n_neighbors: int) -> Tensor:
        r"""Log densities that are smoothed over neighbouring cells, shape ``(n, s)``.

        Posteriors of cells with many counts hardly overlap. They are therefore convolved with a
        normal distribution, whose standard deviation h, the bandwidth, is the same for all cells
        but depends on the point. It is the bandwidth at which :math:`(\sum_j k_j)^2 / \sum_j
        k_j^2` cells, with densities :math:`k_j`, approximately equal ``n_neighbors``; 0 if the
        posteriors alone are wider. The cell of the point itself is left out. Half a cell is added
        to each sample, so that logarithms are finite.

        Parameters
        ----------
        z_nl
            Points, shape ``(n, l)``.
        own_n
            Position of each point's cell among the m cells, -1 if it is not one of them.
        n_neighbors
            Effective number of cells.
        """
        n, m = len(z_nl), len(self.mean_ml)
        is_in = (own_n >= 0).nonzero()[:, 0]
        own = is_in, own_n[is_in]
        square_nm = torch.cdist(z_nl, self.mean_ml).square_()
        square_nm[own] = math.inf
        excess_n = _widths(square_nm, n_neighbors).square() - self.variance_ml.mean()
        step_n = (excess_n.clamp(min=0).sqrt().log() / math.log(_RATIO)).round()
        log_nm = torch.empty_like(square_nm)
        for step in step_n.unique():
            here = step_n == step
            log_nm[here] = self._log_normal(z_nl[here], float(_RATIO ** (2 * step)))
        log_nm[own] = -math.inf
        count_ns = self._counts().expand(n, -1).clone()
        count_ns[is_in, self.sample_m[own[1]]] -= 1
        count_ns.clamp_(min=1)
        total_n = log_nm.logsumexp(1)
        log_effective_n = 2 * total_n - (2 * log_nm).logsumexp(1)
        log_ns = self._by_sample(log_nm) - count_ns.log()
        mean_n = log_ns.logsumexp(1) - math.log(self.n_samples)
        log_expected_ns = log_effective_n[:, None] + count_ns.log() - math.log(m)
        pseudo_ns = mean_n[:, None] + math.log(_PSEUDO_CELLS) - log_expected_ns
        return torch.logaddexp(log_ns, pseudo_ns)

    def _counts(self) -> Tensor:
        """Number of cells of each sample, shape ``(s,)``."""
        counts = torch.bincount(self.sample_m, minlength=self.n_samples)
        return counts.to(self.mean_ml.dtype)

    def _by_sample(self, log_nm: Tensor) -> Tensor:
        """Logarithm of the sum over the cells of each sample, shape ``(n, s)``."""
        parts = [log_nm[:, self.sample_m == s].logsumexp(1) for s in range(self.n_samples)]
        return torch.stack(parts, dim=1)

    def _log_normal(self, z_nl: Tensor, added_variance: float) -> Tensor:
        """Log density of each cell at each point, shape ``(n, m)``."""
        variance_ml = self.variance_ml + added_variance
        # A common origin near the cells keeps the differences of squares exact.
        centre_l = self.mean_ml.mean(0)
        z_nl, mean_ml = z_nl - centre_l, self.mean_ml - centre_l
        precision_lm = variance_ml.reciprocal().T
        constant_m = (mean_ml.square() / variance_ml + variance_ml.log()).sum(1)
        constant_m = constant_m + z_nl.shape[1] * math.log(2 * math.pi)
        square_nm = z_nl.square() @ precision_lm - 2 * z_nl @ (mean_ml.T * precision_lm)
        return -0.5 * (square_nm + constant_m)

    def _log_student(self, z_nl: Tensor, dof: float) -> Tensor:
        """Log density of each cell at each point, shape ``(n, m)``."""
        constant = (
            math.lgamma((dof + 1) / 2) - math.lgamma(dof / 2) - 0.5 * math.log(dof * math.pi)
        )
        log_nm = constant * z_nl.shape[1] - 0.5 * self.variance_ml.log().sum(1)
        log_nm = log_nm.repeat(len(z_nl), 1)
        for z_n, mean_m, variance_m in zip(
            z_nl.T, self.mean_ml.T, self.variance_ml.T, strict=True
        ):
            square_nm = (z_n[:, None] - mean_m).square_().div_(dof * variance_m)
            log_nm -= 0.5 * (dof + 1) * square_nm.log1p_()
        return log_nm


def _widths(square_nm: Tensor, n_neighbors: int) -> Tensor:
    """Standard deviation at which the effective number of cells is ``n_neighbors``."""
    n_candidates = min(_CANDIDATES * n_neighbors, square_nm.shape[1])
    nearest = square_nm.topk(n_candidates, dim=1, largest=False).values
    nearest = nearest - nearest[:, :1]
    high = torch.where(nearest.isinf(), 0, nearest).amax(1).sqrt() * _MAX_WIDTH + _MIN_WIDTH
    low = torch.full_like(high, _MIN_WIDTH)
    for _ in range(_N_BISECTIONS):
        middle = (low * high).sqrt()
        weight = (-0.5 * nearest / middle[:, None].square()).exp()
        is_narrow = weight.sum(1).square() / weight.square().sum(1) < n_neighbors
        low, high = torch.where(is_narrow, middle, low), torch.where(is_narrow, high, middle)
    return (low * high).sqrt()
