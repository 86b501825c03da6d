"""The multi-omics Deep Generative Decoder as an scvi-tools module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from scvi.module.base import BaseModuleClass, LossOutput
from torch import Tensor, nn

from multiDGD.latent import GaussianMixture, GaussianMixtureSupervised, RepresentationLayer
from multiDGD.nn import Counts, Decoder, Likelihood, Workspace, get_likelihood, likelihood_names

from ._config import ModuleConfig


class MultiDGDModule(BaseModuleClass):
    r"""Decoder, mixtures and representations of the multi-omics DGD.

    Every cell i owns one row :math:`w_i = [z_i, u_{i1}, u_{i2}, \dots]` of a table: its basal
    representation and one of each covariate. Its negative log posterior is

    .. math::
        -\sum_m \log p(x_{im} \mid w_i) - \log p(z_i) - \sum_c \log p(u_{ic} \mid c_i)

    and the mixtures' own priors are counted once for the whole data set (Schuster et al., Nature
    Communications 2024).

    Parameters
    ----------
    n_cells
        Number of cells in the table.
    n_features
        Number of features of each modality, by name.
    **settings
        Fields of :class:`ModuleConfig`.

    Raises
    ------
    ValueError
        If an argument is invalid; the message names it.
    """

    def __init__(self, n_cells: int, n_features: Mapping[str, int], **settings: Any) -> None:
        super().__init__()
        config = self.config = ModuleConfig(**settings)
        self.modalities = list(n_features)
        self.covariates = list(config.modelled_covariates)
        self.mixture = _mixture(config)
        self.covariate_mixtures = nn.ModuleList(
            GaussianMixtureSupervised(
                n_categories,
                1,
                config.n_covariate_latent,
                covariance_type="isotropic",
                mean_init=config.softball,
                sd_init=config.covariate_sd_prior(n_categories),
                alpha=config.dirichlet_alpha_covariates,
            )
            for n_categories in config.modelled_covariates.values()
        )
        self.representations = RepresentationLayer(self.n_representation, n_cells)
        self.decoder = Decoder(
            self.n_representation + config.n_continuous,
            n_features,
            **(config.decoder_kwargs or {}),
        )
        self.likelihoods = nn.ModuleList(
            get_likelihood(name)(n_features[modality])
            for modality, name in likelihood_names(n_features, config.likelihoods or {}).items()
        )
        self.workspace = Workspace()
        self.register_buffer("continuous_mean", torch.zeros(config.n_continuous))
        self.register_buffer("continuous_scale", torch.ones(config.n_continuous))

    @property
    def n_representation(self) -> int:
        """Columns of the table of representations: those of z and of all covariates."""
        return self.config.n_representation

    @property
    def n_latent(self) -> int:
        """Dimensions of z."""
        return self.config.n_latent

    @property
    def n_covariate_latent(self) -> int:
        """Dimensions of the representation of each covariate."""
        return self.config.n_covariate_latent

    @property
    def covariate_columns(self) -> list[int]:
        """Positions of the modelled covariates among the registered ones."""
        return self.config.covariate_columns

    def on_load(self, model: Any, **kwargs: Any) -> None:
        """Give the table the number of cells that the saved one has."""
        self.resize(len(model.cell_names_) or model.n_representations_)

    def resize(self, n_cells: int) -> None:
        """Start a table anew, for another number of cells."""
        if n_cells != self.representations.n_sample:
            device = self.representations.z.device
            self.representations = RepresentationLayer(self.n_representation, n_cells).to(device)

    @property
    def mixtures_of_covariates(self) -> list[GaussianMixtureSupervised]:
        """The mixture of each modelled covariate, in the order of ``covariates``."""
        return [cast(GaussianMixtureSupervised, m) for m in self.covariate_mixtures]

    def likelihood(self, modality: str) -> Likelihood:
        """The likelihood of one modality."""
        return cast(Likelihood, self.likelihoods[self.modalities.index(modality)])

    def split(self, representation: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Take rows of the table apart into z and the covariates' representations.

        Parameters
        ----------
        representation
            Shape ``(n, n_representation)``.
        """
        sizes = [self.n_latent] + [self.n_covariate_latent] * len(self.covariates)
        z_nl, *u = representation.split(sizes, dim=-1)
        return z_nl, u

    def latent_log_prob(
        self, representation: Tensor, labels: Tensor, covariates: Tensor
    ) -> dict[str, Tensor]:
        """Log density of representations under the mixtures (nats), by term, shape ``(n,)`` each.

        Parameters
        ----------
        representation
            Rows of the table, shape ``(n, n_representation)``.
        labels
            Codes, -1 where unknown, shape ``(n,)``. Not used by an unsupervised mixture.
        covariates
            Codes of all registered covariates, -1 where unknown, shape ``(n, covariates)``.
        """
        z_nl, u = self.split(representation)
        if isinstance(self.mixture, GaussianMixtureSupervised):
            terms = {"mixture": self.mixture.log_density(z_nl, labels)}
        else:
            terms = {"mixture": self.mixture.log_density(z_nl)}
        codes = covariates[:, self.covariate_columns]
        for number, name in enumerate(self.covariates):
            mixture = self.mixtures_of_covariates[number]
            terms[f"covariate_{name}"] = mixture.log_density(u[number], codes[:, number])
        return terms

    def prior_log_prob(self) -> Tensor:
        """Log prior of all mixtures' parameters (nats), a scalar to be counted once."""
        total = self.mixture.prior_log_prob()
        for mixture in self.mixtures_of_covariates:
            total = total + mixture.prior_log_prob()
        return total

    def _get_inference_input(
        self, tensors: dict[str, Any], representation: Tensor | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        return {"cells": tensors["cells"], "representation": representation}

    def _get_generative_input(
        self, tensors: dict[str, Any], inference_outputs: dict[str, Tensor], **kwargs: Any
    ) -> dict[str, Any]:
        return {
            "representation": inference_outputs["representation"],
            "continuous": tensors["continuous"],
        }

    def inference(self, cells: Tensor, representation: Tensor | None = None) -> dict[str, Tensor]:
        """Look the cells' representations up.

        Parameters
        ----------
        cells
            Rows of the table, shape ``(n,)``.
        representation
            Used in their place where given, shape ``(n, n_representation)``.
        """
        if representation is None:
            representation = self.representations(cells)
        return {"representation": representation, "z": representation[:, : self.n_latent]}

    def generative(
        self,
        representation: Tensor,
        continuous: Tensor,
        modalities: Sequence[str] | None = None,
    ) -> dict[str, dict[str, Tensor]]:
        """Decode representations.

        Parameters
        ----------
        representation
            Shape ``(n, n_representation)``.
        continuous
            Continuous covariates in their own units, shape ``(n, n_continuous)``.
        modalities
            Those to decode, all by default.

        Returns
        -------
        ``"logits"``, those of each modality by name, shape ``(n, f)`` each.
        """
        latent = self.decoder_input(representation, continuous)
        return {"logits": self.decoder(latent, modalities)}

    def decoder_input(self, representation: Tensor, continuous: Tensor) -> Tensor:
        """Representations beside standardised continuous covariates, as for :meth:`generative`."""
        continuous = (continuous - self.continuous_mean) / self.continuous_scale
        return torch.cat([representation, continuous.to(representation)], dim=-1)

    def objective(
        self, tensors: dict[str, Any], representation: Tensor, n_obs: float | None = None
    ) -> LossOutput:
        """Negative log posterior of a minibatch at given representations (nats).

        What training, validation and the inference of new cells all descend. Equal to
        :meth:`loss`, without ever holding the logits and their gradient side by side.

        Parameters
        ----------
        tensors
            The minibatch, on the module's device.
        representation
            Shape ``(n, n_representation)``.
        n_obs
            As for :meth:`loss`.
        """
        hidden = self.decoder.hidden(self.decoder_input(representation, tensors["continuous"]))
        log_prob = {
            m: self.likelihood(m).linear_log_prob(
                x, self.decoder.head(m).output, tensors["counts"][m], self.workspace
            )
            for m, x in hidden.items()
        }
        return self._posterior(log_prob, tensors, representation, n_obs)

    def reconstruction_loss(
        self, logits: Mapping[str, Tensor], counts: Mapping[str, Counts]
    ) -> dict[str, Tensor]:
        """Negative log-likelihood of each cell's counts (nats), by modality, shape ``(n,)``.

        Parameters
        ----------
        logits, counts
            Those of each modality.
        """
        return {m: -self.likelihood(m).log_prob(a, counts[m]) for m, a in logits.items()}

    def loss(
        self,
        tensors: dict[str, Any],
        inference_outputs: dict[str, Tensor],
        generative_outputs: dict[str, dict[str, Tensor]],
        n_obs: float | None = None,
    ) -> LossOutput:
        """Negative log posterior of a minibatch (nats, summed over its cells).

        Parameters
        ----------
        tensors
            The minibatch.
        inference_outputs, generative_outputs
            What the two steps before returned.
        n_obs
            Number of training cells. The minibatch takes its share of the mixtures' own priors;
            without it they are left out.
        """
        logits, counts = generative_outputs["logits"], tensors["counts"]
        log_prob = {m: self.likelihood(m).log_prob(a, counts[m]) for m, a in logits.items()}
        return self._posterior(log_prob, tensors, inference_outputs["representation"], n_obs)

    def _posterior(
        self,
        log_prob: dict[str, Tensor],
        tensors: dict[str, Any],
        representation: Tensor,
        n_obs: float | None,
    ) -> LossOutput:
        latent = self.latent_log_prob(representation, tensors["labels"], tensors["covariates"])
        n_cells = len(tensors["cells"])
        # Put together before they are summed and turned round: few operations, which is what the
        # time of small minibatches is spent on.
        terms_tn = torch.stack([*log_prob.values(), *latent.values()])
        total = -terms_tn.sum()
        losses = (-terms_tn).unbind()
        prior = -self.prior_log_prob() if n_obs else torch.zeros_like(total)
        return LossOutput(
            loss=total + prior * (n_cells / n_obs) if n_obs else total,
            reconstruction_loss={
                f"reconstruction_loss_{m}": v for m, v in zip(log_prob, losses, strict=False)
            },
            kl_local={
                f"{term}_loss": v for term, v in zip(latent, losses[len(log_prob) :], strict=True)
            },
            kl_global=prior,
            n_obs_minibatch=n_cells,
        )

    @torch.inference_mode()
    def sample(
        self, tensors: dict[str, Any], representation: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Draw counts of every modality for the cells of a minibatch.

        Parameters
        ----------
        tensors
            The minibatch; its library sizes are kept.
        representation
            Used in place of the cells' own, shape ``(n, n_representation)``.
        """
        w = self.inference(tensors["cells"], representation)["representation"]
        logits = self.generative(w, tensors["continuous"])["logits"]
        return {
            m: self.likelihood(m).sample(
                self.likelihood(m).mean(a, tensors["counts"][m].library.to(a))
            )
            for m, a in logits.items()
        }


def _mixture(config: ModuleConfig) -> GaussianMixture:
    """The mixture over z, supervised if there are labels."""
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
