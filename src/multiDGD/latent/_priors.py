"""Priors on the parameters of the mixture: softball for the means, Gaussian for neglogvar."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from multiDGD._checks import finite, positive, positive_int
from multiDGD.latent import _checks


@dataclass(frozen=True)
class SoftballPrior:
    r"""Mollified uniform distribution on a ball around the origin.

    .. math::
        \log p(x) = \log\Gamma(1 + d/2) - d\,(\log R + \tfrac12 \log\pi)
                    - \mathrm{softplus}(h\,(|x|/R - 1))

    The constant is that of the uniform distribution on the ball, so the density is normalised
    only in the limit of a large hardness. Training is unaffected: the constant has no gradient.

    Parameters
    ----------
    dim
        Dimension d of the space.
    radius
        Radius R of the ball.
    hardness
        Steepness h with which the density falls at the surface of the ball.

    Raises
    ------
    ValueError
        If ``dim`` is not a positive integer, or ``radius`` or ``hardness`` is not above 0.

    Examples
    --------
    >>> import torch
    >>> from multiDGD.latent import SoftballPrior
    >>> prior = SoftballPrior(dim=2, radius=3.0, hardness=5.0)
    >>> prior.log_prob(torch.tensor([[0.0, 0.0], [30.0, 0.0]]))
    tensor([ -3.3487, -48.3420])
    >>> prior.sample(4).shape
    torch.Size([4, 2])
    """

    dim: int
    radius: float
    hardness: float

    def __post_init__(self) -> None:
        positive_int("dim", self.dim)
        positive("radius", self.radius)
        positive("hardness", self.hardness)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log density of each point.

        Parameters
        ----------
        x
            Points, shape (..., dim).

        Returns
        -------
        Log densities in nats, shape (...). Value and gradient are finite at the origin and far
        outside the ball.

        Raises
        ------
        ValueError
            If the last axis of ``x`` does not have ``dim`` values.
        """
        x = _checks.last_axis("x", x, self.dim)
        log_volume = self.dim * (math.log(self.radius) + 0.5 * math.log(math.pi)) - math.lgamma(
            1 + self.dim / 2
        )
        norm = torch.linalg.vector_norm(x, dim=-1)
        # -softplus(a) = logsigmoid(-a), which unlike log(1 + exp(a)) cannot overflow.
        return functional.logsigmoid(self.hardness * (1 - norm / self.radius)) - log_volume

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """Draw points uniformly from the ball.

        This is deliberately the limit of a large hardness. In high dimensions most of the
        probability lies outside the ball: with 20 dimensions and hardness 5 exact draws would
        have a norm of about four radii, a poor initialisation of a component.

        Parameters
        ----------
        n
            Number of points.

        Returns
        -------
        Points within ``radius`` of the origin, shape (n, dim).

        Raises
        ------
        ValueError
            If ``n`` is not a positive integer.
        """
        n = positive_int("n", n)
        direction = functional.normalize(torch.randn(n, self.dim), dim=-1)
        return self.radius * torch.rand(n, 1) ** (1 / self.dim) * direction


@dataclass(frozen=True)
class GaussianPrior:
    r"""Independent Gaussians with one mean and one standard deviation.

    .. math::
        \log p(x) = -\tfrac12 \sum_l \left[(x_l - m)^2 / s^2 + \log(2\pi s^2)\right]

    Parameters
    ----------
    dim
        Number of values per point.
    mean
        Mean m of every value.
    sd
        Standard deviation s of every value.

    Raises
    ------
    ValueError
        If ``dim`` is not a positive integer, ``mean`` is not finite or ``sd`` is not above 0.

    Examples
    --------
    >>> import torch
    >>> from multiDGD.latent import GaussianPrior
    >>> prior = GaussianPrior(dim=3, mean=1.0, sd=2.0)
    >>> prior.log_prob(torch.ones(2, 3))
    tensor([-4.8363, -4.8363])
    >>> prior.sample(4).shape
    torch.Size([4, 3])
    """

    dim: int
    mean: float
    sd: float

    def __post_init__(self) -> None:
        positive_int("dim", self.dim)
        finite("mean", self.mean)
        positive("sd", self.sd)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log density of each point.

        Parameters
        ----------
        x
            Points, shape (..., dim).

        Returns
        -------
        Log densities in nats, shape (...).

        Raises
        ------
        ValueError
            If the last axis of ``x`` does not have ``dim`` values.
        """
        x = _checks.last_axis("x", x, self.dim)
        constant = math.log(self.sd) + 0.5 * math.log(2 * math.pi)
        return (-0.5 * ((x - self.mean) / self.sd) ** 2 - constant).sum(-1)

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """Draw points.

        Parameters
        ----------
        n
            Number of points.

        Returns
        -------
        Points, shape (n, dim).

        Raises
        ------
        ValueError
            If ``n`` is not a positive integer.
        """
        return self.mean + self.sd * torch.randn(positive_int("n", n), self.dim)
