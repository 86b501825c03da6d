"""Decoded values of cells and their reconstruction error."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from lightning.fabric.utilities import move_data_to_device
from mudata import MuData
from torch import Tensor

from multiDGD.model.core._representations import as_positions
from multiDGD.nn import Counts, Likelihood

from ._decoding import DecodingMixin


class ExpressionMixin(DecodingMixin):
    """Decoded values of cells."""

    @torch.inference_mode()
    def get_normalized_expression(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        modality: str | None = None,
        gene_list: Sequence[str] | None = None,
        library_size: float | Literal["latent"] = 1,
        transform_batch: str | int | Sequence[str | int] | None = None,
        n_samples: int | None = None,
        return_mean: bool = True,
        batch_size: int | None = None,
        return_numpy: bool = False,
        out: str | Path | None = None,
        include_protein_background: bool = True,
        condition_on_counts: bool = False,
    ) -> pd.DataFrame | np.ndarray:
        """Decode the values of one modality: each feature's share of the cell's counts.

        Modalities that were not measured in a cell can be decoded as well.

        Parameters
        ----------
        adata
            Cells; those of the model by default.
        indices
            Positions or a mask of the selected cells; all by default.
        modality
            Name of the modality; the first one by default.
        gene_list
            Names of the features to return; all by default.
        library_size
            Sum of a cell's values over all features. ``"latent"`` uses the cell's own library
            size, adjusted for features that were not measured. If the modality was not measured,
            it uses the median of the training cells.
        transform_batch
            Category of the ``batch_key`` in which all cells are decoded, at the mean of its
            component. The values are averaged over several categories. Default: the cell's own
            batch.
        n_samples
            Number of draws from the posterior of representations and decoder, with
            ``scvi.settings.seed``. By default, the MAP estimate is decoded.
        return_mean
            Return the mean of the draws; if `False`, return an array with all draws.
        batch_size
            Number of cells in a minibatch; ``scvi.settings.batch_size`` by default.
        return_numpy
            Return an array instead of a table.
        out
            File (``.npy``) for the array, for results that exceed the memory. The returned array
            is memory-mapped.
        include_protein_background
            Whether the values include the background. `False` removes the background expected at
            the cell's own library size or, if the modality was not measured, at the median of the
            training cells. Only for modalities whose likelihood has a background component
            (``"protein"``).
        condition_on_counts
            Whether to return the posterior mean of each feature's rate given the cell's own
            counts (:meth:`multiDGD.nn.Likelihood.posterior_mean`). It predicts further molecules
            of the same cell better than the decoder alone (:meth:`get_count_split_score`), since
            cells with equal representations differ in their rates. Features and modalities that
            were not measured keep the decoded values.

        Returns
        -------
        Expected counts at a total count of ``library_size``, shape ``(n_cells, n_features)``. For
        a modality with one feature, ``library_size`` is a factor on the expected count. All draws
        have shape ``(n_samples, n_cells, n_features)``.

        Raises
        ------
        ValueError
            If the modality, a feature or the category does not exist, ``n_samples`` is below 1,
            the result exceeds the memory of the machine, or ``condition_on_counts`` is combined
            with another batch or without background.

        Examples
        --------
        >>> shares = model.get_normalized_expression(gene_list=["CD4", "CD8A"])  # doctest: +SKIP
        """
        modality = self._modality(modality)
        if condition_on_counts:
            if transform_batch is not None or not include_protein_background:
                raise ValueError(
                    "`condition_on_counts` needs the cells' own batches and background: leave out "
                    "`transform_batch` and `include_protein_background`."
                )
            value = self._conditional_mean(adata, indices, modality)
        elif include_protein_background:
            value = _mean
        else:
            self._require_background(modality)
            cells = self._manager_of(adata), indices, modality
            value = partial(_foreground_mean, self._library_sizes(*cells, "latent", batch_size))
        return self._decoded_table(
            value,
            modality,
            self._features(modality, "gene_list", gene_list),
            adata=adata,
            indices=indices,
            library_size=library_size,
            transform_batch=transform_batch,
            n_samples=n_samples,
            return_mean=return_mean,
            batch_size=batch_size,
            return_numpy=return_numpy,
            out=out,
        )

    @torch.inference_mode()
    def get_accessibility_estimates(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        modality: str | None = None,
        region_list: Sequence[str] | None = None,
        library_size: float | Literal["latent"] | None = None,
        transform_batch: str | int | Sequence[str | int] | None = None,
        n_samples: int | None = None,
        return_mean: bool = True,
        batch_size: int | None = None,
        return_numpy: bool = False,
        out: str | Path | None = None,
    ) -> pd.DataFrame | np.ndarray:
        """Estimate the probability that each region is detected as open, ``p(count > 0)``.

        Parameters
        ----------
        adata
            Cells; those of the model by default.
        indices
            Positions or a mask of the selected cells; all by default.
        modality
            Name of the modality; the last one by default.
        region_list
            Names of the regions to return; all by default.
        library_size
            Total count at which the cells are compared; the median of the training cells by
            default. ``"latent"`` uses the cell's own library size where the modality was
            measured.
        transform_batch, n_samples, return_mean
            As for :meth:`get_normalized_expression`.
        batch_size
            Number of cells in a minibatch; ``scvi.settings.batch_size`` by default.
        return_numpy, out
            As for :meth:`get_normalized_expression`.

        Returns
        -------
        Probabilities, shape ``(n_cells, n_regions)``. All draws have shape
        ``(n_samples, n_cells, n_regions)``.

        Raises
        ------
        ValueError
            As for :meth:`get_normalized_expression`.

        Examples
        --------
        >>> is_open = model.get_accessibility_estimates(modality="atac")  # doctest: +SKIP
        """
        modality = self._modality(modality or self.module.modalities[-1])
        return self._decoded_table(
            lambda likelihood, mean_nf, library_n, cells: (
                -torch.expm1(likelihood.log_prob_zero(mean_nf))
            ),
            modality,
            self._features(modality, "region_list", region_list),
            adata=adata,
            indices=indices,
            library_size=self._learned.library_medians[modality]
            if library_size is None
            else library_size,
            transform_batch=transform_batch,
            n_samples=n_samples,
            return_mean=return_mean,
            batch_size=batch_size,
            return_numpy=return_numpy,
            out=out,
        )

    def _conditional_mean(
        self,
        adata: AnnData | MuData | None,
        indices: Sequence[int] | None,
        modality: str,
    ) -> Callable[[Likelihood, Tensor, Tensor, slice], Tensor]:
        """Function of decoded means that returns posterior means given the cells' counts."""
        manager = self._manager_of(adata)
        cells = as_positions(indices, manager.adata.n_obs)
        panels = self._panels(manager)

        def value(
            likelihood: Likelihood, mean_nf: Tensor, library_n: Tensor, here: slice
        ) -> Tensor:
            (batch,) = manager.batches(cells[here], len(mean_nf))
            counts = move_data_to_device(batch["counts"][modality], mean_nf.device)
            found = mean_nf.clone()
            for subset, at in panels.groups(cells[here]):
                if modality in subset.positions:
                    part = torch.from_numpy(at).to(mean_nf.device)
                    found[part] = _posterior_means(
                        likelihood,
                        mean_nf[part],
                        library_n[part],
                        counts.take(part),
                        subset.positions[modality].to(mean_nf.device),
                    )
            return found

        return value

    @torch.inference_mode()
    def get_reconstruction_error(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        batch_size: int | None = None,
    ) -> dict[str, float]:
        """Compute the mean negative log-likelihood of the counts of a cell (nats).

        Parameters
        ----------
        adata
            Cells; those of the model by default.
        indices
            Positions or a mask of the selected cells; all by default.
        batch_size
            Number of cells in a minibatch; ``scvi.settings.batch_size`` by default.

        Returns
        -------
        Dictionary with ``"reconstruction_loss"``, the mean over all cells of the sum over
        modalities, and ``"reconstruction_loss_<modality>"``, the mean over the cells with counts
        in the modality.

        Examples
        --------
        >>> error = model.get_reconstruction_error()  # doctest: +SKIP
        >>> error["reconstruction_loss_rna"]  # doctest: +SKIP
        """
        sums: dict[str, float] = defaultdict(float)
        n_measured: dict[str, int] = defaultdict(int)
        n_cells = 0
        manager = self._manager_of(adata)
        panels = self._panels(manager)
        for batch, w in self._represented_batches(manager, indices, batch_size):
            for _, subset, part, (w_part,) in panels.parts(batch, w):
                logits = subset.module.generative(w_part, part["continuous"])["logits"]
                losses = subset.module.reconstruction_loss(logits, part["counts"])
                for modality, loss in losses.items():
                    counts = part["counts"][modality]
                    sums[modality] += float(loss.sum())
                    n_measured[modality] += int((counts.library > 0).sum())
            n_cells += len(w)
        error = {"reconstruction_loss": sum(sums.values()) / max(n_cells, 1)}
        for modality, value in sums.items():
            error[f"reconstruction_loss_{modality}"] = value / max(n_measured[modality], 1)
        return error


def _posterior_means(
    likelihood: Likelihood, mean_nf: Tensor, library_n: Tensor, counts: Counts, observed: Tensor
) -> Tensor:
    """Posterior means of the observed features' rates, at the scale and total of the means."""
    library = likelihood.mean_function.library
    tiny = torch.finfo(mean_nf.dtype).tiny
    own_n = counts.library.to(mean_nf)
    scale_n = own_n / library(mean_nf[:, observed], library_n).clamp(min=tiny)
    rate_nf = mean_nf * scale_n[:, None]
    counts_nf = counts.to_dense().to(mean_nf)
    rate_nf[:, observed] = likelihood.posterior_mean(rate_nf, counts_nf)[:, observed]
    total_n = library(rate_nf, library_n * scale_n).clamp(min=tiny)
    shares_nf = rate_nf / total_n[:, None] * library(mean_nf, library_n)[:, None]
    return torch.where(scale_n[:, None] > 0, shares_nf, mean_nf)


def _mean(likelihood: Likelihood, mean_nf: Tensor, library_n: Tensor, cells: slice) -> Tensor:
    return mean_nf


def _foreground_mean(
    own_n: Tensor, likelihood: Likelihood, mean_nf: Tensor, library_n: Tensor, cells: slice
) -> Tensor:
    """Foreground part of the means, evaluated at the cells' own library sizes."""
    total_n = likelihood.mean_function.library(mean_nf, library_n)
    total_n = total_n.clamp(min=torch.finfo(mean_nf.dtype).tiny)
    scale_n1 = (own_n[cells].to(mean_nf) / total_n)[:, None]
    return likelihood.foreground_mean(mean_nf * scale_n1) / scale_n1
