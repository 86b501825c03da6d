"""The mixture over representations that a configuration describes."""

from __future__ import annotations

from multiDGD.latent import GaussianMixture, GaussianMixtureSupervised

from ._config import ModuleConfig


def make_mixture(config: ModuleConfig) -> GaussianMixture:
    """Create the mixture over z, supervised if there are labels.

    Parameters
    ----------
    config
        Configuration of the module.
    """
    if config.n_labels:
        return GaussianMixtureSupervised(
            config.n_labels,
            config.n_components_per_class,
            config.n_latent,
            covariance_type=config.covariance_type,
            mean_init=config.softball,
            sd_init=config.sd_prior,
            alpha=config.dirichlet_alpha,
        )
    return GaussianMixture(
        config.n_components,
        config.n_latent,
        covariance_type=config.covariance_type,
        mean_init=config.softball,
        sd_init=config.sd_prior,
        weight_alpha=config.dirichlet_alpha,
    )
