"""How sure decoded values are."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from torch import Tensor

from multiDGD._checks import finite
from multiDGD.inference import Laplace, OutputPosterior, hidden_jacobians, log_mean_jacobian

from ._decoding import DecodingMixin


class IntervalMixin(DecodingMixin):
    """Credible intervals of decoded values."""

    @torch.inference_mode(False)
    @torch.no_grad()
    def get_expression_interval(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        modality: str | None = None,
        gene_list: Sequence[str] | None = None,
        level: float = 0.9,
        library_size: float | Literal["latent"] = 1,
        transform_batch: str | int | None = None,
        batch_size: int | None = None,
        return_numpy: bool = False,
    ) -> tuple[pd.DataFrame, pd.DataFrame] | tuple[np.ndarray, np.ndarray]:
        r"""Credible intervals of what :meth:`get_normalized_expression` returns.

        The true value lies in each with probability ``level``, if the model holds. Two things are
        not known: where the cell lies (the fewer its counts the less; a modality that was not
        measured says nothing) and what the decoder makes of that place (the fewer counts a
        feature has in the training cells the less). Both are normal by Laplace's approximation,
        and carry over to the log odds of a share by its derivatives. Intervals are of the mean:
        counts scatter around it.

        Parameters
        ----------
        adata, indices, modality, gene_list, library_size, batch_size
            As for :meth:`get_normalized_expression`.
        transform_batch
            Category of the ``batch_key`` in which all cells are decoded; their own by default.
        level
            Probability, between 0 and 1.
        return_numpy
            Return arrays in place of tables.

        Returns
        -------
        Lower and upper ends, shape ``(n_cells, n_features)`` each.

        Raises
        ------
        ValueError
            If modality, features or category are not there, or ``level`` is no probability.

        Examples
        --------
        >>> lower, upper = model.get_expression_interval(gene_list=["CD4"])  # doctest: +SKIP
        """
        if not 0 < finite("level", level) < 1:
            raise ValueError(f"`level` must lie between 0 and 1, found {level}.")
        modality = self._modality(modality)
        features = self._features(modality, "gene_list", gene_list)
        layer = self._output_posterior(modality)
        quantile = NormalDist().inv_cdf(0.5 + level / 2)
        manager = self._manager_of(adata)
        at = torch.from_numpy(features).to(self.module.device)
        library_n = self._library_sizes(manager, indices, modality, library_size, batch_size)
        parts = [np.zeros((2, 0, len(features)), np.float32)]
        first = 0
        for batch, posterior in self._posteriors(manager, indices, batch_size):
            share, variance = self._share(batch, posterior, layer, modality, transform_batch, at)
            share = share.double().clamp(min=1e-30)
            # A share stays below 1, which its log odds know and its logarithm does not.
            half = quantile * variance.double().sqrt() / (1 - share)
            ends = torch.stack([share.logit() - half, share.logit() + half]).sigmoid()
            here = slice(first, first + len(share))
            first = here.stop
            ends *= library_n[here].to(ends)[:, None]
            parts.append(ends.float().cpu().numpy())
        lower, upper = np.concatenate(parts, axis=1)
        if return_numpy:
            return lower, upper
        asked = manager, indices, modality, features
        return self._table(lower, *asked), self._table(upper, *asked)

    def _share(
        self,
        batch: dict[str, Any],
        posterior: Laplace,
        layer: OutputPosterior,
        modality: str,
        transform_batch: str | int | None,
        features: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Share of each asked feature, and the variance of its logarithm, shape ``(n, f)``."""
        module = self.module
        w = self._with_batch(posterior.mean, transform_batch)
        latent = module.decoder_input(w, batch["continuous"])
        hidden_nh = module.decoder.hidden(latent, [modality])[modality]
        logits = module.decoder.head(modality).output(hidden_nh)
        jacobian_nhd = hidden_jacobians(module, batch, w)[modality]
        if transform_batch is not None:
            # The cells' own batch has no say, nor has how sure it is.
            first = module.n_latent
            jacobian_nhd[:, :, first : first + module.n_covariate_latent] = 0
        share = logits.softmax(-1)
        blocks = log_mean_jacobian(module, modality, logits, jacobian_nhd, features)
        of_cell = torch.cat([posterior.variance_along(j_ndf) for _, j_ndf in blocks], dim=1)
        return share[:, features], of_cell + layer.variance(hidden_nh, share)[:, features]
