"""Gaussian mixture as a distribution over representations."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

from multiDGD._checks import choice, positive_int
from multiDGD.latent import _checks
from multiDGD.latent._parameters import MixtureParameters

# Largest number of values (cells x components x dimensions) in memory at once without gradients:
# 64 MB in float32.
_CHUNK_VALUES = 2**24


ResampleType: TypeAlias = Literal["mean", "sample"]


def log_normal(x: Tensor, mean: Tensor, neglogvar: Tensor) -> Tensor:
    """Log density of a Gaussian with diagonal covariance, summed over the last axis.

    All shapes broadcast; ``neglogvar`` may have a last axis of 1. Expanding the squared distance
    into x^2 - 2 x mean + mean^2 would be faster but suffers cancellation for distant means.
    """
    mahalanobis = ((x - mean) ** 2 * torch.exp(neglogvar)).sum(-1)
    log_det = neglogvar.expand_as(mean).sum(-1)
    return 0.5 * (log_det - mahalanobis - mean.shape[-1] * math.log(2 * math.pi))


class GaussianMixture(MixtureParameters):
    r"""Mixture of multivariate Gaussians with priors on its parameters.

    .. math::
        \log p(z) = \log \sum_k \pi_k \, N(z; \mu_k, \sigma_k^2), \quad
        \pi = \mathrm{softmax}(\mathrm{weight}), \quad
        \sigma^2 = \exp(-\mathrm{neglogvar})

    Means are initialised uniformly in the ball of the prior, standard deviations at
    ``sd_init[0]`` and weights uniformly.

    ``component_log_prob`` and ``log_density`` exclude the priors on the parameters; ``log_prob``
    and ``forward`` add the log prior to the value of *every* point. The loss
    ``-(log_density(x).sum() + prior_log_prob())`` counts it once.

    Parameters
    ----------
    n_mix_comp
        Number of components K.
    dim
        Dimension of the space.
    covariance_type
        ``'diagonal'`` (one variance per component and dimension), ``'isotropic'`` (one per
        component) or ``'fixed'`` (``sd_init[0]`` squared everywhere, not learned).
    mean_init
        (radius, hardness) of the softball prior on the means. With radius 0 there is no such
        prior and all means are initialised at the origin.
    sd_init
        (mean, sd) of the standard deviations: neglogvar has the prior N(-2 log mean, sd).
    weight_alpha
        Concentration of the Dirichlet prior on the mixture probabilities.

    Attributes
    ----------
    dim : int
        Dimension of the space.
    n_mix_comp : int
        Number of components.
    mean : torch.nn.Parameter
        Means, shape (n_mix_comp, dim).
    neglogvar : torch.nn.Parameter
        Negative log variances, shape (n_mix_comp, dim) if diagonal, else (n_mix_comp, 1); a
        buffer if fixed.
    weight : torch.nn.Parameter
        Logits of the mixture probabilities, shape (n_mix_comp,).
    mean_prior : SoftballPrior or None
        Prior on each mean.
    neglogvar_prior : GaussianPrior
        Prior on each component's neglogvar; unused if fixed.

    Raises
    ------
    ValueError
        If ``n_mix_comp`` or ``dim`` is not a positive integer, ``covariance_type`` is unknown,
        the radius is negative, or the hardness, a value of ``sd_init`` or ``weight_alpha`` is
        not above 0.

    Warns
    -----
    UserWarning
        If several components are initialised at the origin because the radius is 0.

    Examples
    --------
    >>> import torch
    >>> from multiDGD.latent import GaussianMixture
    >>> gmm = GaussianMixture(n_mix_comp=4, dim=2, mean_init=(2.0, 5.0), sd_init=(0.3, 1.0))
    >>> x = torch.randn(100, 2)
    >>> gmm(x).shape, gmm.clustering(x).shape
    (torch.Size([100]), torch.Size([100]))
    >>> loss = -(gmm.log_density(x).sum() + gmm.prior_log_prob())
    >>> loss.backward()
    """

    def component_log_prob(self, x: Tensor) -> Tensor:
        r"""Log joint density of point and component, :math:`\log\pi_k + \log N(x; k)`.

        Parameters
        ----------
        x
            Points, shape (n_sample, dim).

        Returns
        -------
        Log densities in nats, shape (n_sample, n_mix_comp), without parameter priors.

        Raises
        ------
        ValueError
            If ``x`` has another shape.
        """
        x_nl = _checks.points("x", x, self.dim)
        log_pi_k = torch.log_softmax(self.weight, dim=0)
        return log_pi_k + log_normal(x_nl[:, None, :], self.mean, self.neglogvar)

    def log_density(self, x: Tensor) -> Tensor:
        r"""Log density of the mixture, :math:`\log\sum_k \pi_k N(x; k)`.

        Parameters
        ----------
        x
            Points, shape (n_sample, dim).

        Returns
        -------
        Log densities in nats, shape (n_sample,), without parameter priors.

        Raises
        ------
        ValueError
            If ``x`` has another shape.
        """
        return torch.logsumexp(self.component_log_prob(x), dim=1)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log density of each point plus the log prior of the parameters.

        Parameters
        ----------
        x
            Points, shape (n_sample, dim).

        Returns
        -------
        ``log_density(x) + prior_log_prob()`` in nats, shape (n_sample,). Every value includes
        the prior, so a sum over points counts it n_sample times.

        Raises
        ------
        ValueError
            If ``x`` has another shape.
        """
        return self.log_density(x) + self.prior_log_prob()

    def forward(self, x: Tensor) -> Tensor:
        """Negative of ``log_prob``: a loss in nats, shape (n_sample,)."""
        return -self.log_prob(x)

    def sample_probs(self, x: Tensor) -> Tensor:
        """Joint density of point and component, without parameter priors.

        Parameters
        ----------
        x
            Points, shape (n_sample, dim).

        Returns
        -------
        Densities, shape (n_sample, n_mix_comp). They underflow to 0 far from every component,
        where ``component_log_prob`` remains informative.

        Raises
        ------
        ValueError
            If ``x`` has another shape.
        """
        return torch.exp(self.component_log_prob(x))

    @torch.no_grad()
    def clustering(self, x: Tensor) -> Tensor:
        """Most probable component of each point.

        Parameters
        ----------
        x
            Points, shape (n_sample, dim); processed in chunks to bound memory.

        Returns
        -------
        Components 0 ... n_mix_comp - 1, int64, shape (n_sample,).

        Raises
        ------
        ValueError
            If ``x`` has another shape.
        """
        x_nl = _checks.points("x", x, self.dim)
        n_rows = max(1, _CHUNK_VALUES // (self.n_mix_comp * self.dim))
        return torch.cat([self.component_log_prob(c).argmax(1) for c in x_nl.split(n_rows)])

    @torch.no_grad()
    def component_sample(self, n_sample: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw ``n_sample`` points from every component, shape (n_sample, n_mix_comp, dim).

        ``generator`` is torch's global one by default.
        """
        n = positive_int("n_sample", n_sample)
        return self._around(self.mean.expand(n, -1, -1), self.stddev, generator)

    @torch.no_grad()
    def sample(self, n_sample: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw ``n_sample`` points from the mixture, shape (n_sample, dim).

        ``generator`` is torch's global one by default.
        """
        n = positive_int("n_sample", n_sample)
        component_n = torch.multinomial(
            self.mixture_probs(), n, replacement=True, generator=generator
        )
        return self._around(self.mean[component_n], self.stddev[component_n], generator)

    @torch.no_grad()
    def sample_new_points(
        self, resample_type: ResampleType = "mean", n_new_samples: int = 1
    ) -> Tensor:
        """Propose representations for new samples.

        Parameters
        ----------
        resample_type
            ``'mean'`` for a copy of the component means, ``'sample'`` for random draws from
            every component.
        n_new_samples
            Draws from each component; ignored with ``'mean'``.

        Returns
        -------
        Shape (n_mix_comp, dim) for ``'mean'``; (n_new_samples * n_mix_comp, dim) for
        ``'sample'``, where row ``i * n_mix_comp + k`` is draw i from component k.

        Raises
        ------
        ValueError
            If ``resample_type`` is unknown or ``n_new_samples`` is not a positive integer.
        """
        choice("resample_type", resample_type, get_args(ResampleType))
        n_new_samples = positive_int("n_new_samples", n_new_samples)
        if resample_type == "mean":
            return self.mean.clone()
        return self.component_sample(n_new_samples).reshape(-1, self.dim)

    @staticmethod
    def _around(mean: Tensor, stddev: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return torch.empty_like(mean).normal_(generator=generator) * stddev + mean
