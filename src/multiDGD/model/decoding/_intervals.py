"""Credible intervals of decoded values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from torch import Tensor

from multiDGD._checks import finite
from multiDGD.inference import Laplace, OutputPosterior, hidden_jacobians, log_mean_jacobian

from ._decoding import DecodingMixin, LibrarySize

Table: TypeAlias = pd.DataFrame | np.ndarray


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
        library_size: LibrarySize = 1,
        transform_batch: str | int | None = None,
        batch_size: int | None = None,
        return_numpy: bool = False,
        silent: bool = True,
    ) -> tuple[Table, Table] | tuple[dict[str, Table], dict[str, Table]]:
        r"""Compute credible intervals of the values of :meth:`get_normalized_expression`.

        If the model is correct, each interval contains the true value with probability ``level``.
        An interval covers two sources of uncertainty:

        - the representation of the cell, which is less certain with fewer counts; missing
          modalities provide no information;
        - the output layer of the decoder, which is less certain for features with fewer counts in
          the training cells.

        Both posteriors are normal by the Laplace approximation. Their variances are propagated to
        the log odds of a share by its derivatives. The intervals are for the mean; counts scatter
        around it.

        Parameters
        ----------
        adata
            Cells; those of the model by default.
        indices
            Positions or a mask of the selected cells; all by default.
        modality
            Name of the modality. By default, all of those with features in ``gene_list``.
        gene_list, library_size, batch_size
            As for :meth:`get_normalized_expression`.
        level
            Probability that an interval contains the true value, between 0 and 1.
        transform_batch
            Category of the ``batch_key`` in which all cells are decoded. Default: the cell's own
            batch.
        return_numpy
            Return arrays instead of tables.
        silent
            Whether to hide the progress bars.

        Returns
        -------
        Lower and upper bounds, shape ``(n_cells, n_features)`` each; dictionaries by modality if
        there are several and neither ``modality`` nor ``gene_list`` names one.

        Raises
        ------
        ValueError
            If the modality, a feature or the category does not exist, or ``level`` is not between
            0 and 1.

        Examples
        --------
        >>> lower, upper = model.get_expression_interval(gene_list=["CD4"])  # doctest: +SKIP
        """
        if not 0 < finite("level", level) < 1:
            raise ValueError(f"`level` must lie between 0 and 1, found {level}.")
        chosen = self._modalities_with(gene_list) if modality is None else modality
        if not isinstance(chosen, str):
            lists = (
                gene_list if isinstance(gene_list, Mapping) else dict.fromkeys(chosen, gene_list)
            )
            both: tuple[dict[str, Table], dict[str, Table]] = {}, {}
            for name in chosen:
                of_one: Any = self.get_expression_interval(
                    adata,
                    indices,
                    name,
                    lists[name],
                    level,
                    library_size,
                    transform_batch,
                    batch_size,
                    return_numpy,
                    silent,
                )
                for tables, bound in zip(both, of_one, strict=True):
                    tables[name] = bound
            return both
        modality = self._modality(chosen)
        features = self._features(modality, "gene_list", gene_list)
        layer = self._output_posterior(modality)
        quantile = NormalDist().inv_cdf(0.5 + level / 2)
        manager = self._manager_of(adata)
        at = torch.from_numpy(features).to(self.module.device)
        library_n = self._library_sizes(manager, indices, modality, library_size, batch_size)
        parts = [np.zeros((2, 0, len(features)), np.float32)]
        first = 0
        for batch, posterior in self._posteriors(manager, indices, batch_size, silent):
            share, variance = self._share_moments(
                batch, posterior, layer, modality, transform_batch, at
            )
            mean = self.module.likelihood(modality).mean_function
            half_width = quantile * variance.double().sqrt()
            bounds = mean.bounds(share.double().clamp(min=1e-30), half_width)
            here = slice(first, first + len(share))
            first = here.stop
            bounds *= library_n[here].to(bounds)[:, None]
            parts.append(bounds.float().cpu().numpy())
        lower, upper = np.concatenate(parts, axis=1)
        if return_numpy:
            return lower, upper
        names = manager, indices, modality, features
        return self._table(lower, *names), self._table(upper, *names)

    def _share_moments(
        self,
        batch: dict[str, Any],
        posterior: Laplace,
        layer: OutputPosterior,
        modality: str,
        transform_batch: str | int | None,
        features: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Share of each selected feature and the variance of its logarithm, shape ``(n, f)``."""
        module = self.module
        w = self._with_batch(posterior.mean, transform_batch)
        latent = module.decoder_input(w, batch["continuous"])
        hidden_nh = module.decoder.hidden(latent, [modality])[modality]
        logits = module.decoder.head(modality).output(hidden_nh)
        jacobian_nhd = hidden_jacobians(module, batch, w)[modality]
        if transform_batch is not None:
            # The posterior of the cell's own batch does not apply to another batch.
            first = module.n_latent
            jacobian_nhd[:, :, first : first + module.n_covariate_latent] = 0
        mean = module.likelihood(modality).mean_function
        share = mean.shares(logits)
        blocks = log_mean_jacobian(module, modality, logits, jacobian_nhd, features)
        cell_variance = torch.cat([posterior.variance_along(j_ndf) for _, j_ndf in blocks], dim=1)
        layer_variance = layer.variance(hidden_nh, mean.slope(share))
        return share[:, features], cell_variance + layer_variance[:, features]
