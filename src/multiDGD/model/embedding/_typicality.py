"""Whether a cell is one that the model could have made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from anndata import AnnData
from mudata import MuData
from torch import Tensor

from multiDGD.data import CellManager
from multiDGD.model.core._random import isolated_rng, subsample
from multiDGD.model.core._representations import RepresentationMixin
from multiDGD.module import FeatureSubset, MultiDGDModule
from multiDGD.nn import Likelihood

_N_DRAWS = 16
_MAX_CELLS = 200
# Cells that were not trained on are the fair standard, but quantiles need some of them.
_MIN_HELD_OUT = 20
# Minibatches move scores by less: a known cell is where it is among the known ones in any.
_ROUNDING = 1e-4


class TypicalityMixin(RepresentationMixin):
    """Cells unlike anything in the training data."""

    def _learn_typical_scores(self) -> np.ndarray:
        """Ascending scores of held-out cells, or of training cells if few are held out."""
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
    ) -> np.ndarray:
        r"""How ordinary each cell is to the model, between 0 and 1.

        The log-likelihood of a cell grows with its depth and depends on its type, so it is held
        against what the model itself would draw at the same place and with the same library:

        .. math::
            s_i = \frac{\log p(x_i \mid w_i) - \mathrm{E} \log p(\tilde x \mid w_i)
            + \log p(z_i)}{\mathrm{sd} \log p(\tilde x \mid w_i)},
            \quad \tilde x \sim p(\cdot \mid w_i)

        with the prior's part :math:`\log p(z_i)` low between and beyond the components. The value
        is the share of known cells whose :math:`s` is not above the cell's, as a p-value: values
        of cells of known types are spread evenly, and values near 0 say that a cell is unlike
        what the model knows (or worse measured). Known cells are those held out from training,
        or the training cells where there are fewer than 20 of them; these fit better than new
        ones, whose values are then too low. At most 200 are kept: the lowest value is 1 / (n + 1)
        with n of them.

        Expectation and deviation are those of 16 draws, the same whenever a cell is asked about; on a
        GPU they are others than on a processor.

        Values of cells in which only a part of the features was measured can be compared with
        each other, and are less exact as p-values.

        Parameters
        ----------
        adata, indices
            As for :meth:`get_latent_representation`.
        batch_size
            Cells handled at a time. Defaults to ``scvi.settings.batch_size``.
        as_quantile
            Return quantiles; otherwise :math:`s`, which goes on below the lowest known one.

        Returns
        -------
        Shape ``(n_cells,)``.

        Raises
        ------
        ValueError
            If the model was trained by a version that did not note the known cells' scores.

        Examples
        --------
        >>> query.obs["new"] = query_model.get_typicality() < 0.05  # doctest: +SKIP
        """
        manager = self._manager_of(adata)
        known = self._learned.typical_scores
        if as_quantile and known is None:
            raise ValueError("The model was saved without typicality scores: train it again.")
        cells, w = self._representation(manager, indices, batch_size)
        scores = self._scores(manager, cells, w, batch_size)
        if not as_quantile:
            return scores
        assert known is not None
        return (1 + np.searchsorted(known, scores + _ROUNDING, side="right")) / (len(known) + 1)

    @torch.inference_mode()
    def _scores(
        self, manager: CellManager, cells: np.ndarray, w: Tensor, batch_size: int | None
    ) -> np.ndarray:
        seen = FeatureSubset(self.module, manager.observed)
        parts = [np.zeros(0)]
        with isolated_rng(self.module.device, 0):
            for batch, rows in self._batches_with(manager, cells, w, batch_size):
                # A cell's own counts say which draws are its: not which others are asked about.
                seeds = manager.fingerprints[batch["cells"].cpu().numpy()] >> np.uint64(1)
                scores = standard_scores(seen.module, seen.batch(batch), rows, seeds.tolist())
                parts.append(scores.cpu().numpy())
        return np.concatenate(parts)


def standard_scores(
    module: MultiDGDModule, batch: dict[str, Any], w: Tensor, seeds: Sequence[int]
) -> Tensor:
    """Log posterior of cells in standard deviations from what the model draws in their place.

    Parameters
    ----------
    module
        The module.
    batch
        A minibatch of n cells on the module's device.
    w
        Their rows, shape ``(n, n_representation)``.
    seeds
        Of each cell's draws, for torch's global generator.

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
        mean_nf = likelihood.mean(a, batch["counts"][m].library)
        expected_n, variance_n = _moments(likelihood, mean_nf, seeds)
        excess, variance = excess - expected_n, variance + variance_n
    return excess / variance.sqrt().clamp(min=1e-6)


def _moments(
    likelihood: Likelihood, mean_nf: Tensor, seeds: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Mean and variance of the log-likelihood of each cell's draws, shape ``(n,)`` each.

    Features are independent: the sum of their variances says more than the variance of few sums.
    """
    zero_nf = likelihood.log_prob_zero(mean_nf)
    log_mean_nf = mean_nf.clamp(min=torch.finfo(mean_nf.dtype).tiny).log()
    found = []
    for mean_f, log_mean_f, seed in zip(mean_nf, log_mean_nf, seeds, strict=True):
        torch.manual_seed(seed)
        drawn_sf = likelihood.sample(mean_f.expand(_N_DRAWS, -1))
        _, columns = at = drawn_sf.nonzero(as_tuple=True)
        ratio = likelihood.log_ratio_to_zero(drawn_sf[at], log_mean_f[columns], columns)
        ratio_sf = torch.zeros_like(drawn_sf).index_put_(at, ratio.to(drawn_sf))
        variance_f, mean_ratio_f = torch.var_mean(ratio_sf, dim=0)
        found.append(torch.stack([mean_ratio_f.sum(), variance_f.sum()]))
    expected_n, variance_n = torch.stack(found).T
    return zero_nf.sum(1) + expected_n, variance_n
