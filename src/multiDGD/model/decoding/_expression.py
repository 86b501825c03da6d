"""Decoded values of cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from lightning.fabric.utilities import move_data_to_device
from mudata import MuData
from torch import Tensor

from multiDGD._checks import choice
from multiDGD.model.core._representations import as_positions
from multiDGD.nn import Counts, Likelihood

from ._decoding import DecodingMixin, LibrarySize, Value, decoded_mean

Weights: TypeAlias = Literal["uniform"]


class ExpressionMixin(DecodingMixin):
    """Decoded values of cells."""

    @torch.inference_mode()
    def get_normalized_expression(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        modality: str | Sequence[str] | None = None,
        gene_list: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
        library_size: LibrarySize = 1,
        transform_batch: str | int | Sequence[str | int] | None = None,
        n_samples: int | None = None,
        return_mean: bool = True,
        batch_size: int | None = None,
        return_numpy: bool = False,
        out: str | Path | None = None,
        include_protein_background: bool = True,
        condition_on_counts: bool = False,
        scale_protein: bool = False,
        n_samples_overall: int | None = None,
        weights: Weights | None = None,
        silent: bool = True,
    ) -> pd.DataFrame | np.ndarray | dict[str, pd.DataFrame] | dict[str, np.ndarray]:
        """Decode the values of a modality: each feature's share of the cell's counts.

        Modalities that were not measured in a cell can be decoded as well.

        Parameters
        ----------
        adata
            Cells; those of the model by default.
        indices
            Positions or a mask of the selected cells; all by default.
        modality
            Name of the modality. The result for a list of names is a dictionary by modality. By
            default, the one with the names in ``gene_list``, and without names all modalities.
        gene_list
            Names of the features to return; all by default. For several modalities, a dictionary
            of names by modality.
        library_size
            Sum of a cell's values over all features. ``"median"`` is the median of the training
            cells, at which values of all cells can be compared as counts. ``"latent"`` uses the
            cell's own library size, adjusted for features that were not measured. If the modality
            was not measured, it uses the median of the training cells.
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
            File (``.npy``) or new folder of a zarr array (``.zarr``), for results that exceed the
            memory. The array is written in blocks of cells and returned: memory-mapped, or as an
            open zarr array, which :class:`anndata.AnnData` and :func:`anndata.io.read_elem` accept.
        include_protein_background
            Whether the values include the background. `False` removes the background expected at
            the cell's own library size or, if the modality was not measured, at the median of the
            training cells. Only for modalities whose likelihood has a background component
            (``"protein"``); others in a list keep their values.
        condition_on_counts
            Whether to return the posterior mean of each feature's rate given the cell's own
            counts (:meth:`multiDGD.nn.Likelihood.posterior_mean`). It predicts further molecules
            of the same cell better than the decoder alone (:meth:`get_count_split_score`), since
            cells with equal representations differ in their rates. Features and modalities that
            were not measured keep the decoded values.
        scale_protein
            Whether to divide the values of each cell by their sum over all features, such as
            foreground parts. Only for modalities whose likelihood has a background component;
            others in a list keep their values.
        n_samples_overall
            Number of cells to draw, with replacement and ``scvi.settings.seed``, from the
            selected ones. By default, each selected cell is decoded once.
        weights
            Only ``"uniform"``, as by default: cells are drawn with equal probabilities.
        silent
            Whether to hide the progress bars.

        Returns
        -------
        Expected counts at a total count of ``library_size``, shape ``(n_cells, n_features)``. For
        a modality with one feature, ``library_size`` is a factor on the expected count. All draws
        have shape ``(n_samples, n_cells, n_features)``. A dictionary of these by modality if
        ``modality`` is a list, or if there are several modalities and it is not given.

        Raises
        ------
        ValueError
            If the modality, a feature or the category does not exist, ``n_samples`` is below 1,
            the result exceeds the memory of the machine, or ``condition_on_counts`` is combined
            with another batch or without background.
        TypeError
            If an argument of scvi-tools has another form here.

        Examples
        --------
        >>> shares = model.get_normalized_expression(gene_list=["CD4", "CD8A"])  # doctest: +SKIP
        >>> both = model.get_normalized_expression(modality=["rna", "prot"])  # doctest: +SKIP

        Protein counts at a common library size, without background:

        >>> denoised = model.get_normalized_expression(
        ...     modality="prot", library_size="median", include_protein_background=False
        ... )  # doctest: +SKIP
        """
        if weights is not None:
            choice("weights", weights, get_args(Weights), " (draws have equal weights)")
        if condition_on_counts and (transform_batch is not None or not include_protein_background):
            raise ValueError(
                "`condition_on_counts` needs the cells' own batches and background: leave out "
                "`transform_batch` and `include_protein_background`."
            )
        if modality is None:
            modality = self._modalities_with(gene_list)
        modalities = self._modalities(modality)
        is_list = not isinstance(modality, str)
        lists = _lists_by_modality(gene_list, modalities, is_list)
        if is_list and out is not None:
            raise ValueError("`out` is a file for one modality: name a single `modality`.")
        features = {m: self._features(m, "gene_list", lists[m]) for m in modalities}
        if not include_protein_background or scale_protein:
            self._require_any_background(modalities)
        if n_samples_overall is not None:
            indices = self._drawn_cells(adata, indices, n_samples_overall).tolist()
        found = {}
        for m in modalities:
            has_background = self.module.likelihood(m).has_background
            value = self._expression(
                m,
                adata,
                indices,
                batch_size,
                condition_on_counts,
                include_protein_background or not has_background,
            )
            found[m] = self._decoded_table(
                partial(_scaled, value) if scale_protein and has_background else value,
                m,
                features[m],
                adata=adata,
                indices=indices,
                library_size=library_size,
                transform_batch=transform_batch,
                n_samples=n_samples,
                return_mean=return_mean,
                batch_size=batch_size,
                return_numpy=return_numpy,
                out=out,
                silent=silent,
            )
        return found if is_list else found[modalities[0]]

    def _expression(
        self,
        modality: str,
        adata: AnnData | MuData | None,
        indices: Sequence[int] | None,
        batch_size: int | None,
        condition_on_counts: bool,
        include_background: bool,
    ) -> Value:
        """Function of the decoded means of a modality."""
        if condition_on_counts:
            return self._conditional_mean(adata, indices, modality)
        if include_background:
            return decoded_mean
        cells = self._manager_of(adata), indices, modality
        return partial(_foreground_mean, self._library_sizes(*cells, "latent", batch_size))

    def _conditional_mean(
        self,
        adata: AnnData | MuData | None,
        indices: Sequence[int] | None,
        modality: str,
    ) -> Value:
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


def _lists_by_modality(
    gene_list: Sequence[str] | Mapping[str, Sequence[str]] | None,
    modalities: Sequence[str],
    is_list: bool,
) -> dict[str, Sequence[str] | None]:
    """Names of the features to return, by modality."""
    if gene_list is None:
        return dict.fromkeys(modalities)
    if isinstance(gene_list, Mapping):
        unknown = [m for m in gene_list if m not in modalities]
        if unknown:
            raise ValueError(
                f"`gene_list` must map names of `modality` {list(modalities)} to names of features, "
                f"found {unknown[0]!r}."
            )
        return {m: gene_list.get(m) for m in modalities}
    if is_list:
        raise ValueError(
            "`gene_list` must map each modality to names of features if `modality` is a list, "
            f"found {type(gene_list).__name__}."
        )
    return {modalities[0]: gene_list}


def _scaled(
    value: Value, likelihood: Likelihood, mean_nf: Tensor, library_n: Tensor, cells: slice
) -> Tensor:
    """Shares of the sum of a cell's values."""
    value_nf = value(likelihood, mean_nf, library_n, cells)
    return value_nf / value_nf.sum(1, keepdim=True).clamp(min=torch.finfo(value_nf.dtype).tiny)


def _foreground_mean(
    own_n: Tensor, likelihood: Likelihood, mean_nf: Tensor, library_n: Tensor, cells: slice
) -> Tensor:
    """Foreground part of the means, evaluated at the cells' own library sizes."""
    total_n = likelihood.mean_function.library(mean_nf, library_n)
    total_n = total_n.clamp(min=torch.finfo(mean_nf.dtype).tiny)
    scale_n1 = (own_n[cells].to(mean_nf) / total_n)[:, None]
    return likelihood.foreground_mean(mean_nf * scale_n1) / scale_n1
