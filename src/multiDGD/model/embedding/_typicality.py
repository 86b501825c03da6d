"""Comparison of cells with cells that the model would generate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from anndata import AnnData
from mudata import MuData
from torch import Tensor

from multiDGD.data import CellManager
from multiDGD.inference import LogProbMoments
from multiDGD.model.core._random import subsample
from multiDGD.model.core._representations import RepresentationMixin
from multiDGD.module import MultiDGDModule
from multiDGD.nn import Likelihood

_MAX_CELLS = 200
# Held-out cells are the unbiased standard, but quantiles of very few cells are too coarse.
_MIN_HELD_OUT = 20
# Scores vary by less between minibatches, so quantiles of calibration cells do not depend on them.
_ROUNDING = 1e-4


class TypicalityMixin(RepresentationMixin):
    """Detection of cells unlike the training data."""

    def _learn_typical_scores(self) -> np.ndarray:
        """Ascending scores of held-out cells, or of training cells if too few are held out."""
        held_out = np.concatenate([self.validation_indices_, self.test_indices_]).astype(int)
        cells = held_out if len(held_out) >= _MIN_HELD_OUT else self.train_indices_
        cells = subsample(cells, _MAX_CELLS)
        w = self.module.representations.z.detach()[torch.from_numpy(cells)]
        return np.sort(self._scores(self.adata_manager, cells, w, None))

    def get_typicality(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        batch_size: int | None = None,
        as_quantile: bool = True,
        silent: bool = False,
    ) -> np.ndarray:
        r"""Compute how typical each cell is of the training data, between 0 and 1.

        The log-likelihood of a cell depends on its library size and its type. It is therefore
        compared with the log-likelihood of counts that follow the model, for the same
        representation and library size:

        .. math::
            s_i = \frac{\log p(x_i \mid w_i) - \mathrm{E} \log p(\tilde x \mid w_i)
            + \log p(z_i)}{\mathrm{sd} \log p(\tilde x \mid w_i)},
            \quad \tilde x \sim p(\cdot \mid w_i)

        The prior :math:`\log p(z_i)` is low between the components and far from all of them. The
        result is a p-value: the share of calibration cells with an :math:`s` not above that of the
        cell. It is uniformly distributed for cells of known types. Values near 0 indicate cells
        unlike the training data, or cells of lower quality.

        The calibration cells are held-out cells, or training cells if fewer than 20 are held out.
        Training cells fit better than new cells, so the results for new cells are then too low.
        At most 200 calibration cells are used. With n of them, the lowest result is 1 / (n + 1).

        Expectation and standard deviation are sums over all possible counts of each feature
        (:class:`multiDGD.inference.LogProbMoments`); nothing is drawn at random.

        For cells with only some of the features measured, results can be compared with each other,
        but are less exact as p-values.

        Parameters
        ----------
        adata, indices
            As for :meth:`get_latent_representation`.
        batch_size
            Number of cells in a minibatch; ``scvi.settings.batch_size`` by default.
        as_quantile
            Whether to return quantiles. Otherwise, :math:`s` is returned, which also ranks cells
            below all calibration cells.
        silent
            Whether to hide the progress bars.

        Returns
        -------
        Array of shape ``(n_cells,)``.

        Raises
        ------
        ValueError
            If the model was saved without the scores of the calibration cells.

        Examples
        --------
        >>> query.obs["atypical"] = query_model.get_typicality() < 0.05  # doctest: +SKIP
        """
        manager = self._manager_of(adata)
        calibration = self._learned.typical_scores
        if as_quantile and calibration is None:
            raise ValueError("The model was saved without typicality scores: train it again.")
        cells, w = self._representation(manager, indices, batch_size, silent)
        scores = self._scores(manager, cells, w, batch_size, silent)
        if not as_quantile:
            return scores
        assert calibration is not None
        rank = np.searchsorted(calibration, scores + _ROUNDING, side="right")
        return (1 + rank) / (len(calibration) + 1)

    @torch.inference_mode()
    def _scores(
        self,
        manager: CellManager,
        cells: np.ndarray,
        w: Tensor,
        batch_size: int | None,
        silent: bool = True,
    ) -> np.ndarray:
        """Standardised log posterior of each cell, shape ``(n,)``."""
        panels = self._panels(manager)

        moments: dict[Likelihood, LogProbMoments] = {}

        def standard(module: MultiDGDModule, part: dict[str, Any], w: Tensor) -> Tensor:
            return standard_scores(module, part, w, moments)

        parts = [np.zeros(0)]
        for batch, rows in self._batches_with(manager, cells, w, batch_size, silent):
            parts.append(panels.map(standard, batch, rows).cpu().numpy())
        return np.concatenate(parts)


def standard_scores(
    module: MultiDGDModule,
    batch: dict[str, Any],
    w: Tensor,
    moments: dict[Likelihood, LogProbMoments],
) -> Tensor:
    """Log posterior of each cell, standardised by that of counts that follow the model.

    Parameters
    ----------
    module
        Trained module.
    batch
        Minibatch of n cells on the module's device.
    w
        Representations, shape ``(n, n_representation)``.
    moments
        Moments of the likelihoods, by likelihood. Those that are missing are added.

    Returns
    -------
    Shape ``(n,)``.
    """
    logits = module.generative(w, batch["continuous"])["logits"]
    unknown = torch.full_like(batch["labels"], -1)
    excess = module.latent_log_prob(w, unknown, batch["covariates"])["mixture"]
    excess = excess - torch.stack(
        list(module.reconstruction_loss(logits, batch["counts"]).values())
    ).sum(0)
    variance = torch.zeros_like(excess)
    for m, a in logits.items():
        likelihood = module.likelihood(m)
        moments_of = moments.setdefault(likelihood, LogProbMoments(likelihood))
        expected_n, variance_n = moments_of(likelihood.mean(a, batch["counts"][m].library))
        excess, variance = excess - expected_n, variance + variance_n
    return excess / variance.sqrt().clamp(min=1e-6)
