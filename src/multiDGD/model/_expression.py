"""What the decoder says of cells: normalised values and how well they fit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from torch import Tensor

from multiDGD._checks import positive, positive_int
from multiDGD._names import nearest
from multiDGD.data import CellManager
from multiDGD.data._categories import find_categories
from multiDGD.module import Restriction
from multiDGD.nn import Likelihood
from multiDGD.train import category_means

from ._cells import as_positions
from ._posterior import PosteriorMixin
from ._wide import allocate


class ExpressionMixin(PosteriorMixin):
    """Decoded values of cells."""

    library_medians_: dict[str, float]

    def _modality(self, modality: str | None) -> str:
        known = self.module.modalities
        if modality is None:
            return known[0]
        if modality not in known:
            raise ValueError(f"`modality` must be one of {known}, found {modality!r}.")
        return modality

    def _features(self, modality: str, wanted: Sequence[str] | None) -> np.ndarray:
        names = pd.Index(self.summary.features[modality])
        if wanted is None:
            return np.arange(len(names))
        if isinstance(wanted, str):
            raise ValueError(f"A list of features is needed, found the string {wanted!r}.")
        at = names.get_indexer(pd.Index(wanted))
        if (at < 0).any():
            unknown = [str(w) for w, i in zip(wanted, at, strict=True) if i < 0]
            near = nearest(unknown[0], names)
            raise ValueError(
                f"{len(unknown)} features are not in modality {modality!r}, such as "
                f"{unknown[0]!r}. Nearest names: {near}."
            )
        return at

    def _table(
        self,
        array_nf: np.ndarray,
        manager: CellManager,
        indices: Sequence[int] | None,
        modality: str,
        features: np.ndarray,
    ) -> pd.DataFrame:
        """Values of the asked cells and features, with their names."""
        names = manager.adata.obs_names[as_positions(indices, manager.adata.n_obs)]
        columns = self.summary.features[modality][features]
        return pd.DataFrame(array_nf, index=names, columns=columns)

    def _in_batches(
        self, categories: str | int | Sequence[str | int] | None
    ) -> Callable[[Tensor], list[Tensor]]:
        """Rows of cells in each of some categories of the ``batch_key``, by default of all."""
        if categories is None:
            key = self.batch_key
            categories = [] if key is None else list(self.summary.covariates.get(key, []))
        # One category may be a number, as columns of numbers have it.
        names: list[Any] = [categories]
        if pd.api.types.is_list_like(categories):
            names = list(cast(Sequence[Any], categories))
        empty = torch.zeros(0, self.module.n_representation, device=self.module.device)
        # What is not there is to be said before any work.
        for name in names or [""]:
            self._as_batch(empty, name)
        return lambda w: [self._as_batch(w, name) for name in names]

    def _as_batch(self, w: Tensor, transform_batch: str | int | None) -> Tensor:
        if transform_batch is None:
            return w
        if pd.api.types.is_list_like(transform_batch):
            raise ValueError(
                f"`transform_batch` must be one category here, found {transform_batch!r}."
            )
        key = self.batch_key
        if key is None or key not in self.module.covariates:
            raise ValueError(
                "To decode cells in other batches needs a `batch_key` with several categories."
            )
        categories = self.summary.covariates[key]
        code, unknown = find_categories(pd.Series([transform_batch], dtype=object), categories)
        if len(unknown):
            raise ValueError(
                f"`transform_batch`: {transform_batch!r} is not one of {categories.tolist()}."
            )
        codes = torch.full((1, len(self.summary.covariates)), -1, device=w.device)
        codes[:, 0] = int(code[0])
        u = category_means(self.module, codes)
        first = self.module.n_latent
        last = first + self.module.n_covariate_latent
        w = w.clone()
        w[:, first:last] = u[:, : self.module.n_covariate_latent]
        return w

    def _require_background(self, modality: str) -> None:
        likelihood = self.module.likelihood(modality)
        if not likelihood.has_background:
            raise ValueError(
                f"`modality`: {modality!r} has the likelihood {likelihood.name!r}, which knows no "
                f"background. Make the model with `likelihoods={{{modality!r}: 'protein'}}`."
            )

    def _depths(self, library_nm: np.ndarray, modality: str) -> Tensor:
        """Libraries of one modality; the training cells' median where there is none."""
        own_n = library_nm[:, self.module.modalities.index(modality)]
        depth_n = np.where(own_n > 0, own_n, self.library_medians_[modality])
        return torch.from_numpy(depth_n.astype(np.float32))

    def _library_sizes(
        self,
        manager: CellManager,
        indices: Sequence[int] | None,
        modality: str,
        library_size: float | Literal["latent"],
        batch_size: int | None,
    ) -> Tensor:
        """Totals that the values of the asked cells sum to, shape ``(n,)``."""
        if isinstance(library_size, str) and library_size == "latent":
            return self._depths(self._whole_libraries(manager, indices, batch_size), modality)
        size = positive("library_size", library_size)
        return torch.full((len(as_positions(indices, manager.adata.n_obs)),), size)

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
            self._features(modality, gene_list),
            adata,
            indices,
            library_size,
            transform_batch,
            n_samples,
            return_mean,
            batch_size,
            return_numpy,
            out,
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
        Shape ``(n_cells, n_regions)``, between 0 and 1.
        """
        modality = self._modality(modality or self.module.modalities[-1])
        return self._decoded_table(
            lambda likelihood, mean_nf, cells: -torch.expm1(likelihood.log_prob_zero(mean_nf)),
            modality,
            self._features(modality, region_list),
            adata,
            indices,
            self.library_medians_[modality] if library_size is None else library_size,
            transform_batch,
            n_samples,
            return_mean,
            batch_size,
            return_numpy,
            out,
        )

    def _decoded_table(
        self,
        value: Callable[[Likelihood, Tensor, slice], Tensor],
        modality: str,
        features: np.ndarray,
        adata: AnnData | MuData | None,
        indices: Sequence[int] | None,
        library_size: float | Literal["latent"],
        transform_batch: str | int | Sequence[str | int] | None,
        n_samples: int | None,
        return_mean: bool,
        batch_size: int | None,
        return_numpy: bool,
        out: str | Path | None,
    ) -> pd.DataFrame | np.ndarray:
        """A function of the decoded means of one modality, for some of its features.

        It is given the likelihood, the means of a few cells and which of the asked ones they are.
        """
        if n_samples is not None:
            positive_int("n_samples", n_samples)
        manager = self._manager_of(adata)
        library_n = self._library_sizes(manager, indices, modality, library_size, batch_size)
        module, likelihood = self.module, self.module.likelihood(modality)
        at = torch.from_numpy(features).to(module.device)
        in_batches = _own if transform_batch is None else self._in_batches(transform_batch)
        n_draws = n_samples or 1
        keeps_draws = n_samples is not None and not return_mean
        found = allocate((n_draws if keeps_draws else 1, len(library_n), len(features)), out)
        draws = self._draws(manager, indices, modality, n_samples, batch_size)
        for draw, (inputs, output) in enumerate(draws):
            first = 0
            for w, continuous, _ in inputs:
                here = slice(first, first + len(w))
                first = here.stop
                library = library_n[here].to(w)
                values = []
                for row in in_batches(w):
                    latent = module.decoder_input(row, continuous)
                    logits = output(module.decoder.hidden(latent, [modality])[modality])
                    mean = likelihood.mean(logits, library)
                    values.append(value(likelihood, mean, here)[:, at])
                part = torch.stack(values).mean(0).cpu().numpy()
                if keeps_draws:
                    found[draw, here] = part
                else:
                    found[0, here] += part / n_draws
        if keeps_draws:
            return found
        if return_numpy or out is not None:
            return found[0]
        return self._table(found[0], manager, indices, modality, features)

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
        """
        sums: dict[str, float] = defaultdict(float)
        n_measured: dict[str, int] = defaultdict(int)
        n_cells = 0
        manager = self._manager_of(adata)
        seen = Restriction(self.module, manager.observed)
        for batch, w in self._decoded(manager, indices, batch_size):
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


def _own(w: Tensor) -> list[Tensor]:
    """The batches that cells have."""
    return [w]
