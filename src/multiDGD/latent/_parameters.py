"""Parameters of a Gaussian mixture, their initialisation and their priors."""

from __future__ import annotations

import math
import warnings
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn

from multiDGD._checks import choice, finite, pair, positive, positive_int
from multiDGD.latent import _checks
from multiDGD.latent._priors import GaussianPrior, SoftballPrior

CovarianceType: TypeAlias = Literal["fixed", "isotropic", "diagonal"]
# A cluster of one cell has variance 0 and may have weight 0. Training could not change such a
# component: its density would be infinite or its gradient zero.
_MIN_VARIANCE = 1e-6
_MIN_RELATIVE_WEIGHT = 1e-3


class MixtureParameters(nn.Module):
    """Means, scales and weights of a Gaussian mixture; see :class:`GaussianMixture`."""

    mean: nn.Parameter
    neglogvar: Tensor
    weight: nn.Parameter

    def __init__(
        self,
        n_mix_comp: int,
        dim: int,
        covariance_type: CovarianceType = "diagonal",
        mean_init: tuple[float, float] = (0.0, 1.0),
        sd_init: tuple[float, float] = (0.5, 1.0),
        weight_alpha: float = 1,
    ) -> None:
        super().__init__()
        self.n_mix_comp = positive_int("n_mix_comp", n_mix_comp)
        self.dim = positive_int("dim", dim)
        self.covariance_type = choice("covariance_type", covariance_type, get_args(CovarianceType))
        self.weight_alpha = positive("weight_alpha", weight_alpha)
        self.mean_prior = _softball(self.dim, mean_init)
        self.mean = nn.Parameter(self._initial_means())

        sd_mean, sd_sd = pair("sd_init", "(mean, sd)", sd_init)
        neglogvar_mean = -2 * math.log(positive("sd_init[0], the mean", sd_mean))
        n_scale = self.dim if covariance_type == "diagonal" else 1
        self.neglogvar_prior = GaussianPrior(
            n_scale, neglogvar_mean, positive("sd_init[1], the sd", sd_sd)
        )
        neglogvar_kl = torch.full((self.n_mix_comp, n_scale), neglogvar_mean)
        if covariance_type == "fixed":
            self.register_buffer("neglogvar", neglogvar_kl)
        else:
            self.neglogvar = nn.Parameter(neglogvar_kl)
        self.weight = nn.Parameter(torch.zeros(self.n_mix_comp))

    def _initial_means(self) -> Tensor:
        if self.mean_prior is not None:
            return self.mean_prior.sample(self.n_mix_comp)
        if self.n_mix_comp > 1:
            # Point to the caller's line, which is one frame further up in a subclass.
            inherited = type(self).__init__ is MixtureParameters.__init__
            warnings.warn(
                "`mean_init` has radius 0: the means have no prior and all components are "
                "initialised at the origin. Their gradients are equal, so they stay identical. "
                "Pass `mean_init=(radius, hardness)`, for example (2.0, 5.0), or call "
                "`initialize(mean_kl)` before training.",
                UserWarning,
                stacklevel=3 if inherited else 4,
            )
        return torch.zeros(self.n_mix_comp, self.dim)

    @torch.no_grad()
    def initialize(
        self, mean_kl: Any, variance_kl: Any | None = None, weight_k: Any | None = None
    ) -> None:
        r"""Initialise the components from known clusters.

        Set the means :math:`\mu`, the negative log variances :math:`-\log v` and the weights
        :math:`\log \pi` in place. Variances are at least 1e-6 and mixture probabilities at least
        a thousandth of 1/K, so that a component of a single cell can still be trained.

        Parameters
        ----------
        mean_kl
            Means, shape (n_mix_comp, dim); tensor, array or nested list.
        variance_kl
            Variances, shape (n_mix_comp, dim), averaged over dimensions if the covariance is
            isotropic; or (n_mix_comp, 1), the same in every dimension. ``None`` keeps the
            current ones. A fixed covariance never changes.
        weight_k
            Mixture probabilities or cluster sizes, shape (n_mix_comp,); they are normalised.
            ``None`` keeps the current ones.

        Raises
        ------
        ValueError
            If a shape is wrong, a value is not finite, a variance or weight is negative, or all
            weights are 0. All parameters then keep their values.
        """
        n_k, n_l = self.n_mix_comp, self.dim
        mean_kl = _checks.values_like("mean_kl", mean_kl, self.mean, (n_k, n_l))
        neglogvar_kl: Tensor = self.neglogvar
        log_pi_k: Tensor = self.weight
        if variance_kl is not None:
            variance_kl = _checks.values_like(
                "variance_kl", variance_kl, self.mean, (n_k, n_l), (n_k, 1)
            )
            _not_negative("variance_kl", variance_kl)
            if self.covariance_type == "isotropic":
                variance_kl = variance_kl.mean(1, keepdim=True)
            if self.covariance_type != "fixed":
                neglogvar_kl = -variance_kl.clamp(min=_MIN_VARIANCE).log()
        if weight_k is not None:
            weight_k = _checks.values_like("weight_k", weight_k, self.weight, (n_k,))
            _not_negative("weight_k", weight_k)
            if not bool(weight_k.any()):
                raise ValueError(
                    "`weight_k` is 0 for every component; at least one must be above 0."
                )
            log_pi_k = (weight_k / weight_k.sum()).clamp(min=_MIN_RELATIVE_WEIGHT / n_k).log()
        self.mean.copy_(mean_kl)
        self.neglogvar.copy_(neglogvar_kl.expand_as(self.neglogvar))
        self.weight.copy_(log_pi_k)

    @property
    def covariance(self) -> Tensor:
        """Variances exp(-neglogvar): (n_mix_comp, dim) if diagonal, else (n_mix_comp, 1)."""
        return torch.exp(-self.neglogvar)

    @property
    def stddev(self) -> Tensor:
        """Standard deviations exp(-neglogvar / 2), in the shape of ``covariance``."""
        return torch.exp(-0.5 * self.neglogvar)

    def mixture_probs(self) -> Tensor:
        """Probability of each component, softmax(weight), shape (n_mix_comp,)."""
        return torch.softmax(self.weight, dim=0)

    def prior_log_prob(self) -> Tensor:
        r"""Log prior of all parameters, counted once.

        .. math::
            \sum_k \log\mathrm{softball}(\mu_k)
            + \sum_k \log N(\mathrm{neglogvar}_k)
            + \log\Gamma(K\alpha) - K\log\Gamma(\alpha) + (\alpha - 1) \sum_k \log\pi_k

        The term of the means is omitted if the radius is 0, and the term of neglogvar if the
        covariance is fixed.

        Returns
        -------
        Scalar tensor, in nats.
        """
        n_k, alpha = self.n_mix_comp, self.weight_alpha
        log_pi_k = torch.log_softmax(self.weight, dim=0)
        log_prior = (
            math.lgamma(n_k * alpha) - n_k * math.lgamma(alpha) + (alpha - 1) * log_pi_k.sum()
        )
        if self.mean_prior is not None:
            log_prior = log_prior + self.mean_prior.log_prob(self.mean).sum()
        if self.covariance_type != "fixed":
            log_prior = log_prior + self.neglogvar_prior.log_prob(self.neglogvar).sum()
        return log_prior

    def extra_repr(self) -> str:
        """Arguments shown by ``print(module)``."""
        return (
            f"n_mix_comp={self.n_mix_comp}, dim={self.dim}, "
            f"covariance_type={self.covariance_type!r}"
        )


def _softball(dim: int, mean_init: Any) -> SoftballPrior | None:
    radius, hardness = pair("mean_init", "(radius, hardness)", mean_init)
    if finite("mean_init[0], the radius", radius) < 0:
        raise ValueError(
            f"`mean_init[0]`, the radius, must be above 0, or 0 for no prior; found {radius!r}."
        )
    positive("mean_init[1], the hardness", hardness)
    return SoftballPrior(dim, float(radius), float(hardness)) if radius > 0 else None


def _not_negative(name: str, value: Tensor) -> None:
    if bool((value < 0).any()):
        raise ValueError(f"`{name}` must not be negative, found {float(value.min())}.")
