"""The multi-omics Deep Generative Decoder as an scvi-tools module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from scvi.module.base import BaseModuleClass, LossOutput
from torch import Tensor, nn

from multiDGD.latent import GaussianMixtureSupervised, RepresentationLayer
from multiDGD.nn import (
    Counts,
    Decoder,
    Exponential,
    Likelihood,
    Softmax,
    Workspace,
    get_likelihood,
    likelihood_names,
)

from ._config import ModuleConfig
from ._make_mixture import make_mixture


class MultiDGDModule(BaseModuleClass):
    r"""Decoder, mixtures and representations of the multi-omics DGD.

    The representation of cell i is a row :math:`w_i = [z_i, u_{i1}, u_{i2}, \dots]` of a table: a
    basal representation z and a representation u of each covariate. The negative log posterior
    of the cell is

    .. math::
        -\sum_m \log p(x_{im} \mid w_i) - \log p(z_i) - \sum_c \log p(u_{ic} \mid c_i).

    The priors on the mixtures' parameters are counted once for the whole data set (Schuster et
    al., Nature Communications 2024).

    Parameters
    ----------
    n_cells
        Number of cells in the table of representations.
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
        # A subset of the module to observed features may have fewer modalities.
        self.n_modalities = len(n_features)
        self.covariates = list(config.modelled_covariates)
        self.mixture = make_mixture(config)
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
        self._use_exponentials()
        self.workspace = Workspace()
        self.register_buffer("mixture_weight", torch.tensor(config.resolved_mixture_weight))
        self.register_buffer("continuous_mean", torch.zeros(config.n_continuous))
        self.register_buffer("continuous_scale", torch.ones(config.n_continuous))

    def _use_exponentials(self) -> None:
        """Give a rate to each modality with one feature, whose share would always be 1."""
        likelihoods = [self.likelihood(m) for m in self.modalities]
        single = [x for x in likelihoods if x.n_features == 1]
        for likelihood in single:
            likelihood.mean_function = Exponential()
        if single:
            self.register_buffer("has_rates", torch.ones(()))

    @property
    def n_representation(self) -> int:
        """Dimensions of a representation: those of z and of all modelled covariates."""
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
        """Indices of the modelled covariates among the registered ones."""
        return self.config.covariate_columns

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        # Models saved before this weight existed were trained with a weight of 1.
        state_dict.setdefault(f"{prefix}mixture_weight", torch.ones(()))
        if "has_rates" in self._buffers:
            # In models saved before rates existed, a modality with one feature had a share of 1.
            if not state_dict.setdefault(f"{prefix}has_rates", torch.zeros(())):
                for modality in self.modalities:
                    self.likelihood(modality).mean_function = Softmax()
        super()._load_from_state_dict(state_dict, prefix, *args)

    def on_load(self, model: Any, **kwargs: Any) -> None:
        """Resize the table to the number of cells of the saved model."""
        self.resize(len(model.cell_names_) or model.n_representations_)

    def resize(self, n_cells: int) -> None:
        """Replace the table if the number of cells differs."""
        if n_cells != self.representations.n_sample:
            z = self.representations.z
            self.representations = RepresentationLayer(self.n_representation, n_cells).to(z)

    @property
    def mixtures_of_covariates(self) -> list[GaussianMixtureSupervised]:
        """The mixture of each modelled covariate, in the order of ``covariates``."""
        return [cast(GaussianMixtureSupervised, m) for m in self.covariate_mixtures]

    def likelihood(self, modality: str) -> Likelihood:
        """The likelihood of one modality."""
        return cast(Likelihood, self.likelihoods[self.modalities.index(modality)])

    def split(self, representation: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Split representations into z and the representations of the covariates.

        Parameters
        ----------
        representation
            Shape ``(n, n_representation)``.
        """
        sizes = [self.n_latent] + [self.n_covariate_latent] * len(self.covariates)
        z_nl, *u = representation.split(sizes, dim=-1)
        return z_nl, u

    def latent_log_prob(
        self,
        representation: Tensor,
        labels: Tensor,
        covariates: Tensor,
        has_unknown: tuple[bool, bool] | None = None,
    ) -> dict[str, Tensor]:
        """Log density of representations under the mixtures (nats), by term, shape ``(n,)`` each.

        Parameters
        ----------
        representation
            Shape ``(n, n_representation)``.
        labels
            Codes, -1 if unknown, shape ``(n,)``. An unsupervised mixture ignores them.
        covariates
            Codes of all registered covariates, -1 if unknown, shape ``(n, covariates)``.
        has_unknown
            Whether any label, and any covariate, may be unknown. By default they are inspected, so
            that the processor waits for a GPU.
        """
        z_nl, u = self.split(representation)
        labels_unknown, covariates_unknown = has_unknown or (None, None)
        if isinstance(self.mixture, GaussianMixtureSupervised):
            terms = {"mixture": self.mixture.log_density_of_codes(z_nl, labels, labels_unknown)}
        else:
            terms = {"mixture": self.mixture.log_density(z_nl)}
        for i, name in enumerate(self.covariates):
            code_n = covariates[:, self.covariate_columns[i]]
            mixture = self.mixtures_of_covariates[i]
            terms[f"covariate_{name}"] = mixture.log_density_of_codes(
                u[i], code_n, covariates_unknown
            )
        return terms

    def mixture_weights(self, counts: Mapping[str, Counts]) -> Tensor:
        r"""Weight of the mixture over z for each cell, shape ``(n,)``.

        It is :math:`w^s`, with ``mixture_weight`` w and the share s of modalities that were
        measured in the cell. Where modalities are missing, the mixture has to complete them.

        Parameters
        ----------
        counts
            Counts of each modality, by name.
        """
        measured = torch.stack([(x.library > 0).to(self.mixture_weight) for x in counts.values()])
        return self.mixture_weight ** (measured.sum(0) / self.n_modalities)

    def prior_log_prob(self) -> Tensor:
        """Log prior of the parameters of all mixtures (nats), a scalar that counts once.

        The prior of the mixture over z has the same weight as the density of z. The weight thus
        does not change the optimal mixture for given representations.
        """
        total = self.mixture_weight * self.mixture.prior_log_prob()
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
        """Look up the representations of cells.

        Parameters
        ----------
        cells
            Rows of the table, shape ``(n,)``.
        representation
            Representations to use instead of the table, shape ``(n, n_representation)``.
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
            Continuous covariates in their original units, shape ``(n, n_continuous)``.
        modalities
            Modalities to decode; all by default.

        Returns
        -------
        ``"logits"``: logits of each modality by name, shape ``(n, f)`` each.
        """
        latent = self.decoder_input(representation, continuous)
        return {"logits": self.decoder(latent, modalities)}

    def decoder_input(self, representation: Tensor, continuous: Tensor) -> Tensor:
        """Concatenate representations and standardised continuous covariates."""
        continuous = (continuous - self.continuous_mean) / self.continuous_scale
        return torch.cat([representation, continuous.to(representation)], dim=-1)

    def objective(
        self, tensors: dict[str, Any], representation: Tensor, n_obs: float | None = None
    ) -> LossOutput:
        """Negative log posterior of a minibatch at given representations (nats).

        Training, validation and inference all minimise it. It equals :meth:`loss`, but never holds
        the logits and their gradient in memory at the same time.

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
            Logits and counts of each modality, by name.
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
            Results of :meth:`inference` and :meth:`generative`.
        n_obs
            Number of training cells, which determines the minibatch's share of the priors on the
            mixtures' parameters. By default these priors are omitted.
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
        codes = tensors["labels"], tensors["covariates"], tensors.get("has_unknown")
        latent = self.latent_log_prob(representation, *codes)
        latent["mixture"] = self.mixture_weights(tensors["counts"]) * latent["mixture"]
        n_cells = len(tensors["cells"])
        # Stack before negating and summing, because the number of operations determines the run
        # time of small minibatches.
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
        self,
        tensors: dict[str, Any],
        representation: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Draw counts of every modality for the cells of a minibatch.

        Parameters
        ----------
        tensors
            The minibatch, which determines the library sizes.
        representation
            Representations to use instead of the table, shape ``(n, n_representation)``.
        generator
            Random generator on the module's device; torch's global one by default.
        """
        w = self.inference(tensors["cells"], representation)["representation"]
        logits = self.generative(w, tensors["continuous"])["logits"]
        return {
            m: self.likelihood(m).sample(
                self.likelihood(m).mean(a, tensors["counts"][m].library.to(a)), generator
            )
            for m, a in logits.items()
        }
