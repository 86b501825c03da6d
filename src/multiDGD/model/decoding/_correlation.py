"""Correlations of features over cells, including their uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, cast, get_args

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from scipy.stats import rankdata
from torch import Tensor

from multiDGD._checks import choice, positive, positive_int
from multiDGD.model.core._output_array import allocate
from multiDGD.model.core._random import new_generator, resolve_seed
from multiDGD.model.core._representations import as_positions
from multiDGD.nn import Likelihood

from ._decoding import DecodingMixin, LibrarySize

CorrelationType: TypeAlias = Literal["spearman", "pearson"]


class CorrelationMixin(DecodingMixin):
    """Correlations of features over cells, including their uncertainty."""

    def get_feature_correlation_matrix(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        n_samples: int = 10,
        batch_size: int | None = None,
        rna_size_factor: float = 1000,
        transform_batch: str | int | Sequence[str | int] | None = None,
        correlation_type: CorrelationType = "spearman",
        log_transform: bool = False,
        silent: bool = True,
        modality: str | Sequence[str] | None = None,
        gene_list: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """Correlate the rates of features over cells.

        Rates are drawn from the posterior of the representation, then from the distribution of
        the rate around the decoded mean (:meth:`multiDGD.nn.Likelihood.sample_rate`). The
        correlations are over all cells and draws.

        Parameters
        ----------
        adata, indices
            As for :meth:`get_latent_representation`.
        n_samples
            Number of draws of each cell, with ``scvi.settings.seed``.
        batch_size
            Number of cells in a minibatch; ``scvi.settings.batch_size`` by default.
        rna_size_factor
            Total count of every cell. Modalities with a background component, whose level is a
            count, have the median of the training cells instead.
        transform_batch
            Category of the ``batch_key`` in which all cells are decoded; correlations are averaged
            over several categories. Default: the cell's own batch.
        correlation_type
            ``"spearman"`` or ``"pearson"``.
        log_transform
            Whether to correlate logarithms of 1 + rates, which changes Pearson's correlations.
        silent
            Whether to hide the progress bars.
        modality
            Name of the modality, or names of several. By default, the one with the names in
            ``gene_list``, and without names all modalities.
        gene_list
            Names of the features of a single modality; all by default.

        Returns
        -------
        Square table with a row and column for each feature.

        Raises
        ------
        ValueError
            If an argument is invalid, fewer than two cells are selected, or the draws exceed the
            memory of the machine.

        Examples
        --------
        >>> table = model.get_feature_correlation_matrix(
        ...     gene_list=["CD4", "CD8A"]
        ... )  # doctest: +SKIP
        """
        choice("correlation_type", correlation_type, get_args(CorrelationType))
        positive("rna_size_factor", rna_size_factor)
        positive_int("n_samples", n_samples)
        if modality is None:
            modality = self._modalities_with(gene_list)
        modalities = self._modalities(modality)
        if gene_list is not None and len(modalities) > 1:
            raise ValueError("`gene_list` needs a single `modality`.")
        features = {m: self._features(m, "gene_list", gene_list) for m in modalities}
        manager = self._manager_of(adata)
        n_cells = len(as_positions(indices, manager.adata.n_obs))
        if n_cells < 2:
            raise ValueError(f"`indices` must contain at least two cells, found {n_cells}.")
        categories: list[Any] = [transform_batch]
        if pd.api.types.is_list_like(transform_batch):
            categories = list(cast(Sequence[Any], transform_batch))
        names = np.concatenate([self.summary.features[m][features[m]] for m in modalities])
        total = allocate((len(names), len(names)), np.float64)
        for category in categories:
            rates = allocate((n_samples * n_cells, len(names)))
            first = 0
            for m in modalities:
                has_background = self.module.likelihood(m).has_background
                size: LibrarySize = "median" if has_background else rna_size_factor
                last = first + len(features[m])
                rates[:, first:last] = self._rates(
                    m, features[m], adata, indices, size, category, n_samples, batch_size, silent
                )
                first = last
            total += _correlation(rates, correlation_type, log_transform)
        return pd.DataFrame(total / len(categories), index=names, columns=names)

    @torch.inference_mode()
    def _rates(
        self,
        modality: str,
        features: np.ndarray,
        adata: AnnData | MuData | None,
        indices: Sequence[int] | None,
        library_size: LibrarySize,
        category: str | int | None,
        n_samples: int,
        batch_size: int | None,
        silent: bool,
    ) -> np.ndarray:
        """Draws of the rates of some features, shape ``(n_samples * n, f)``."""
        number = self.module.modalities.index(modality)
        generator = new_generator(resolve_seed(), 2, number, device=self.module.device)

        def rate(likelihood: Likelihood, mean_nf: Tensor, library_n: Tensor, at: slice) -> Tensor:
            return likelihood.sample_rate(mean_nf, generator)

        found = self._decoded_table(
            rate,
            modality,
            features,
            adata=adata,
            indices=indices,
            library_size=library_size,
            transform_batch=category,
            n_samples=n_samples,
            return_mean=False,
            batch_size=batch_size,
            return_numpy=True,
            out=None,
            silent=silent,
        )
        return np.asarray(found).reshape(-1, len(features))


def _correlation(rates_nf: np.ndarray, correlation_type: str, log_transform: bool) -> np.ndarray:
    """Correlations of columns, which are overwritten; missing (NaN) for constant ones."""
    if log_transform:
        np.log1p(rates_nf, out=rates_nf)
    for column in rates_nf.T:
        if correlation_type == "spearman":
            column[:] = rankdata(column)
        column -= column.mean(dtype=np.float64)
        norm = np.sqrt(np.square(column, dtype=np.float64).sum())
        column /= norm if norm > 0 else np.nan
    return (rates_nf.T @ rates_nf).clip(-1, 1)
