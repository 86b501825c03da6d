"""Marginal log-likelihood of cells, and its lower bound."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from anndata import AnnData
from mudata import MuData
from scvi import settings
from torch import Tensor

from multiDGD._checks import caller_level, positive_int
from multiDGD.inference import (
    Laplace,
    evidence_lower_bound,
    infer_representations,
    laplace,
    marginal_likelihood,
)
from multiDGD.model.core._representations import RepresentationMixin
from multiDGD.module import MultiDGDModule, full_mixture_module

# Median share of effective draws below which estimates are probably too low.
_LOW_SHARE = 0.01


class MarginalLikelihoodMixin(RepresentationMixin):
    """Log-likelihoods of cells with their representations integrated out."""

    def get_marginal_ll(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        n_mc_samples: int = 1000,
        batch_size: int | None = None,
        return_mean: bool = True,
        silent: bool = False,
    ) -> float | Tensor:
        r"""Estimate the marginal log-likelihood of each cell (nats); higher is better.

        .. math::
            \log p(x) = \log \int p(x \mid z, u)\, p(z)\, p(u \mid \text{category})\, dz\, du

        It is on the scale of ``get_marginal_ll`` of SCVI with observed library sizes, so that
        models of the same counts can be compared. Use cells that were held out from training.

        - The log-likelihood of the counts includes all constants. It is conditional on the library
          sizes of the cell. Counts above 1 are 1 for the likelihood ``"bernoulli"``.
        - The prior on z is the mixture of all components, for cells with known labels too.
        - A covariate representation u has the prior of the cell's category. An unknown category is
          integrated out.
        - Missing modalities and features contribute nothing.

        The integral is estimated by importance sampling around the MAP estimate
        (:func:`multiDGD.inference.marginal_likelihood`), which takes ``n_mc_samples``
        decodings of each cell. The estimate is biased towards low values, by less with more draws.
        The draws depend only on the counts of the cell and on ``scvi.settings.seed`` (0 if it is
        not set). Global random generators are not used.

        Parameters
        ----------
        adata, indices
            As for :meth:`get_latent_representation`.
        n_mc_samples
            Number of draws for each cell.
        batch_size
            Number of cells in a minibatch; ``scvi.settings.batch_size`` by default. It does not
            change the result.
        return_mean
            Whether to return the mean over cells instead of the value of each cell.
        silent
            Whether to hide the progress bars.

        Returns
        -------
        The mean, or a tensor of shape ``(n_cells,)``.

        Raises
        ------
        ValueError
            If ``n_mc_samples`` is not a positive integer.

        Warns
        -----
        UserWarning
            If half of the cells have an effective sample size of less than 1 % of their draws.
            Their estimates are then probably too low; a higher ``n_mc_samples`` may help.

        Examples
        --------
        >>> model.get_marginal_ll(indices=model.validation_indices)  # doctest: +SKIP
        """
        positive_int("n_mc_samples", n_mc_samples)

        def integral(*integrand: Any) -> Tensor:
            module, part, posterior, generators = integrand
            found = marginal_likelihood(module, part, posterior, generators, n_mc_samples)
            return torch.stack([found.log_prob, found.effective_share], dim=1)

        found = self._integrated(integral, adata, indices, batch_size, silent)
        log_prob, share = torch.cat([torch.zeros(0, 2).double(), *found]).T
        if len(share) and share.median() < _LOW_SHARE:
            n_effective = float(share.median()) * n_mc_samples
            warnings.warn(
                f"The median effective sample size is {n_effective:.1f} of {n_mc_samples} draws, "
                "so that marginal log-likelihoods are probably too low. Increase `n_mc_samples`.",
                UserWarning,
                stacklevel=caller_level(),
            )
        return _mean_or_each(log_prob, return_mean)

    def get_elbo(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        batch_size: int | None = None,
        return_mean: bool = True,
        n_mc_samples: int = 100,
        silent: bool = False,
    ) -> float | Tensor:
        r"""Estimate the evidence lower bound of each cell (nats); higher is better.

        .. math::
            \mathrm{E}_q\left[\log p(x \mid w) + \log p(w) - \log q(w)\right] \leq \log p(x),
            \qquad w = [z, u]

        The distribution q is the Laplace approximation of the cell's posterior. Likelihood and
        prior are those of :meth:`get_marginal_ll`, which is closer to :math:`\log p(x)` but takes
        more draws. The history's ``validation_loss`` is a negative log posterior instead.

        Parameters
        ----------
        adata, indices, batch_size, return_mean
            As for :meth:`get_marginal_ll`.
        n_mc_samples
            Number of draws for each cell.
        silent
            Whether to hide the progress bars.

        Returns
        -------
        The mean, or a tensor of shape ``(n_cells,)``.

        Raises
        ------
        ValueError
            If ``n_mc_samples`` is not a positive integer.

        Examples
        --------
        >>> model.get_elbo(indices=model.validation_indices)  # doctest: +SKIP
        """
        positive_int("n_mc_samples", n_mc_samples)
        found = self._integrated(
            partial(evidence_lower_bound, n_samples=n_mc_samples),
            adata,
            indices,
            batch_size,
            silent,
        )
        return _mean_or_each(torch.cat([torch.zeros(0).double(), *found]), return_mean)

    @torch.inference_mode(False)
    def _integrated(
        self,
        function: Callable[
            [MultiDGDModule, dict[str, Any], Laplace, list[np.random.Generator]], Tensor
        ],
        adata: AnnData | MuData | None,
        indices: Sequence[int] | None,
        batch_size: int | None,
        silent: bool,
    ) -> list[Tensor]:
        """Values of a function of module, minibatch, posteriors and random generators of cells."""
        manager = self._manager_of(adata)

        def integrated(module: MultiDGDModule, part: dict[str, Any], w: Tensor) -> Tensor:
            module = full_mixture_module(module)
            # Trained representations are not exactly at the mode, and may depend on labels.
            mode = infer_representations(module, [part], start=w).to(w)
            # Seeds from the counts of a cell make its draws independent of other cells.
            seeds = manager.fingerprints[part["cells"].cpu().numpy()].tolist()
            generators = [np.random.default_rng([settings.seed or 0, seed]) for seed in seeds]
            return function(module, part, laplace(module, part, mode), generators)

        panels = self._panels(manager)
        return [
            panels.map(integrated, {**batch, "labels": torch.full_like(batch["labels"], -1)}, w)
            for batch, w in self._represented_batches(manager, indices, batch_size, silent)
        ]


def _mean_or_each(value_n: Tensor, return_mean: bool) -> float | Tensor:
    return float(value_n.mean()) if return_mean else value_n
