"""What the decoder says of cells: normalised values and how well they fit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from torch import Tensor

from multiDGD.module import FeatureSubset
from multiDGD.nn import Likelihood

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
    ) -> pd.DataFrame | np.ndarray:
        """Decoded values of one modality: each feature's share of the cell's counts.

        Works for any modality, also for cells in which it was not measured.

        Parameters
        ----------
        adata, indices
            As for :meth:`get_latent_representation`.
        modality
            Its name; the first one by default.
        gene_list
            Features to return, all by default.
        library_size
            Total that a cell's values sum to; ``"latent"`` takes the cell's own count, as if all
            features had been measured, or the training cells' median where it has none.
        transform_batch
            Category of the ``batch_key`` in which all cells are decoded, at its mean, or several,
            over which values are averaged; their own by default.
        n_samples
            Draw from the posterior of the cells' representations and of the decoder that often
            (with ``scvi.settings.seed``) in place of decoding the estimate.
        return_mean
            Return the mean of the draws; otherwise all of them, as an array.
        batch_size
            Cells handled at a time. Defaults to ``scvi.settings.batch_size``.
        return_numpy
            Return an array in place of a table.
        out
            File (``.npy``) to write the array to, for results that do not fit into memory. It is
            returned mapped into memory.
        include_protein_background
            Whether values are all that is expected to be counted; `False` leaves the background
            out of them, at the cell's own depth or, where it has none, the training cells'
            median. Only for modalities whose likelihood has a background (``"protein"``).

        Returns
        -------
        Shape ``(n_cells, n_features)``, in counts for a cell with ``library_size`` of them;
        ``(n_samples, n_cells, n_features)`` for all draws.

        Raises
        ------
        ValueError
            If modality, features or category are not there, ``n_samples`` is below 1, or the
            result is larger than the machine's memory.

        Examples
        --------
        >>> shares = model.get_normalized_expression(gene_list=["CD4", "CD8A"])  # doctest: +SKIP
        """
        modality = self._modality(modality)
        if include_protein_background:
            value = _mean
        else:
            self._require_background(modality)
            asked = self._manager_of(adata), indices, modality
            value = partial(_foreground, self._library_sizes(*asked, "latent", batch_size))
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
        """Probability that each region is seen open, ``p(count > 0)``.

        Parameters
        ----------
        adata, indices
            As for :meth:`get_latent_representation`.
        modality
            Its name; the last one by default.
        region_list
            Regions to return, all by default.
        library_size
            Total count at which cells are compared: the training cells' median by default, or
            ``"latent"`` for the cell's own, where it has one.
        transform_batch, n_samples, return_mean
            As for :meth:`get_normalized_expression`.
        batch_size
            Cells handled at a time. Defaults to ``scvi.settings.batch_size``.
        return_numpy, out
            As for :meth:`get_normalized_expression`.

        Returns
        -------
        Shape ``(n_cells, n_regions)``, between 0 and 1; ``(n_samples, n_cells, n_regions)`` for
        all draws.

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
            lambda likelihood, mean_nf, cells: -torch.expm1(likelihood.log_prob_zero(mean_nf)),
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

    @torch.inference_mode()
    def get_reconstruction_error(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        batch_size: int | None = None,
    ) -> dict[str, float]:
        """Negative log-likelihood of the counts (nats), mean over cells.

        Parameters
        ----------
        adata, indices
            As for :meth:`get_latent_representation`.
        batch_size
            Cells handled at a time. Defaults to ``scvi.settings.batch_size``.

        Returns
        -------
        ``"reconstruction_loss"``, the sum over modalities, and
        ``"reconstruction_loss_<modality>"``, the mean over the cells that have counts in it.

        Examples
        --------
        >>> error = model.get_reconstruction_error()  # doctest: +SKIP
        >>> error["reconstruction_loss_rna"]  # doctest: +SKIP
        """
        sums: dict[str, float] = defaultdict(float)
        n_measured: dict[str, int] = defaultdict(int)
        n_cells = 0
        manager = self._manager_of(adata)
        seen = FeatureSubset(self.module, manager.observed)
        for batch, w in self._represented_batches(manager, indices, batch_size):
            batch = seen.batch(batch)
            logits = seen.module.generative(w, batch["continuous"])["logits"]
            losses = seen.module.reconstruction_loss(logits, batch["counts"])
            for modality, loss in losses.items():
                counts = batch["counts"][modality]
                sums[modality] += float(loss.sum())
                n_measured[modality] += int((counts.library > 0).sum())
            n_cells += len(w)
        error = {"reconstruction_loss": sum(sums.values()) / max(n_cells, 1)}
        for modality, value in sums.items():
            error[f"reconstruction_loss_{modality}"] = value / max(n_measured[modality], 1)
        return error


def _mean(likelihood: Likelihood, mean_nf: Tensor, cells: slice) -> Tensor:
    return mean_nf


def _foreground(depth_n: Tensor, likelihood: Likelihood, mean_nf: Tensor, cells: slice) -> Tensor:
    """The part of the means that would not be background in cells of given depths."""
    total_n = mean_nf.sum(1).clamp(min=torch.finfo(mean_nf.dtype).tiny)
    scale_n1 = (depth_n[cells].to(mean_nf) / total_n)[:, None]
    return likelihood.foreground_mean(mean_nf * scale_n1) / scale_n1
