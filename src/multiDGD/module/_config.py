"""Validated settings of the module and quantities derived from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from multiDGD._checks import choice, pair, positive, positive_int
from multiDGD.latent._parameters import CovarianceType

#: Default weight of an unsupervised mixture over z; the benchmark `defaults` compares others.
UNSUPERVISED_MIXTURE_WEIGHT = 0.2


@dataclass(frozen=True, kw_only=True)
class ModuleConfig:
    """Sizes, priors and likelihoods of a :class:`MultiDGDModule`.

    Parameters
    ----------
    n_latent
        Dimensions of the basal representation z.
    n_components
        Number of components of an unsupervised mixture over z.
    n_labels
        Number of classes; 0 for an unsupervised mixture over z.
    n_components_per_class
        Number of components of each class of a supervised mixture.
    covariates
        Number of categories of each categorical covariate, by name. A covariate with a single
        category is not modelled.
    n_covariate_latent
        Dimensions of each covariate's representation.
    n_continuous
        Number of continuous covariates. The decoder receives them standardised.
    likelihoods
        Name of the likelihood of each modality, or one name for all modalities. See
        :func:`multiDGD.nn.likelihood_names` for the defaults.
    covariance_type
        ``"diagonal"``, ``"isotropic"`` or ``"fixed"``, for the mixture over z.
    softball
        Radius and hardness of the prior on the means of the mixtures.
    sd_mean
        Typical standard deviation of a component; ``0.2 * radius / components`` if `None`, as
        published.
    sd_sd
        Standard deviation of the prior on the log variances of the components.
    dirichlet_alpha
        Concentration of the prior on the weights of the mixture over z.
    dirichlet_alpha_covariates
        Concentration of the prior on the weights of the covariates' mixtures.
    mixture_weight
        Weight of the log density of z under its mixture, in (0, 1]. `None`: 1 if supervised, else
        0.2. See :class:`multiDGD.MultiDGD`.
    decoder_kwargs
        Further arguments of :class:`multiDGD.nn.Decoder`.

    Raises
    ------
    ValueError
        If an argument is invalid; the message names it.
    """

    n_latent: int = 20
    n_components: int = 1
    n_labels: int = 0
    n_components_per_class: int = 1
    covariates: Mapping[str, int] = field(default_factory=dict)
    n_covariate_latent: int = 2
    n_continuous: int = 0
    likelihoods: str | Mapping[str, str] | None = None
    covariance_type: CovarianceType = "diagonal"
    softball: tuple[float, float] = (2.0, 5.0)
    sd_mean: float | None = None
    sd_sd: float = 1.0
    dirichlet_alpha: float = 1.0
    dirichlet_alpha_covariates: float = 2.0
    mixture_weight: float | None = None
    decoder_kwargs: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        for argument in (
            "n_latent",
            "n_components",
            "n_components_per_class",
            "n_covariate_latent",
        ):
            positive_int(argument, getattr(self, argument))
        choice("covariance_type", self.covariance_type, get_args(CovarianceType))
        if self.sd_mean is not None:
            positive("sd_mean", self.sd_mean)
        for argument in ("sd_sd", "dirichlet_alpha", "dirichlet_alpha_covariates"):
            positive(argument, getattr(self, argument))
        if self.mixture_weight is not None and not 0 < self.mixture_weight <= 1:
            raise ValueError(
                f"`mixture_weight` must be above 0 and at most 1, found {self.mixture_weight}."
            )
        radius, hardness = pair("softball", "(radius, hardness)", self.softball)
        checked = positive("softball", radius), positive("softball", hardness)
        object.__setattr__(self, "softball", checked)

    @property
    def modelled_covariates(self) -> dict[str, int]:
        """Covariates with more than one category.

        The representation of a single category would only add dimensions to z.
        """
        return {name: n for name, n in self.covariates.items() if n > 1}

    @property
    def covariate_columns(self) -> list[int]:
        """Indices of the modelled covariates among all covariates."""
        return [i for i, n in enumerate(self.covariates.values()) if n > 1]

    @property
    def n_representation(self) -> int:
        """Dimensions of a representation: those of z and of all modelled covariates."""
        return self.n_latent + self.n_covariate_latent * len(self.modelled_covariates)

    @property
    def resolved_mixture_weight(self) -> float:
        """Weight of the mixture over z, given or by default."""
        if self.mixture_weight is None:
            return 1.0 if self.n_labels else UNSUPERVISED_MIXTURE_WEIGHT
        return float(self.mixture_weight)

    @property
    def sd_prior(self) -> tuple[float, float]:
        """Typical standard deviation of a component and its spread, for the mixture over z."""
        n_total = self.n_labels * self.n_components_per_class or self.n_components
        return self._default_sd(n_total) if self.sd_mean is None else self.sd_mean, self.sd_sd

    def covariate_sd_prior(self, n_categories: int) -> tuple[float, float]:
        """Typical standard deviation and its spread, for the mixture of a covariate.

        Parameters
        ----------
        n_categories
            Number of categories of the covariate.
        """
        return self._default_sd(n_categories), self.sd_sd

    def _default_sd(self, n_components: int) -> float:
        return 0.2 * self.softball[0] / n_components
