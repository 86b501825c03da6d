"""What would have been counted in a modality that was not measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from torch import Tensor, nn

from multiDGD._checks import positive_int
from multiDGD.data import CellManager
from multiDGD.train import category_means

from ._cells import as_positions
from ._depth import DepthModel
from ._expression import ExpressionMixin
from ._place_regression import PlaceRegression, SomeCells, fit_place_regression
from ._posterior import DecoderInput
from ._random import given_seed, own_stream, some_cells

# Cells that are placed without a modality to learn how to impute it. More change little.
_MAX_TRAINING, _MAX_HELD_OUT = 2000, 500
# With fewer nothing can be said of what holds for other cells.
_MIN_HELD_OUT = 20
_MAX_ANCHORS = 400
# Of a feature that is counted more rarely than once a cell, the logarithm of a count says little.
_MIN_COUNT = 1.0


class ImputationMixin(ExpressionMixin):
    """Counts of modalities that cells lack."""

    depth_model_: dict[str, Any] | None
    imputers_: dict[str, dict[str, Any]]

    def _on_trained(self) -> None:
        super()._on_trained()
        manager = self.adata_manager
        cells = self.train_indices_
        z_nl = self.module.representations.z.detach().cpu().numpy()[cells, : self.module.n_latent]
        library_nm = manager.libraries[cells]
        found = DepthModel.fit(z_nl, library_nm, self.module.modalities)
        # Saved models hold plain values, which no version of this package needs to be there for.
        self.depth_model_ = asdict(found)
        self.imputers_ = {}
        for modality in self.module.modalities:
            self._learn_to_impute(modality)

    @torch.inference_mode(False)
    @torch.no_grad()
    def _learn_to_impute(self, modality: str) -> None:
        """Place cells without a modality that was measured in them and learn what that misses."""
        manager, module = self.adata_manager, self.module
        m = module.modalities.index(modality)
        measured = manager.libraries > 0
        is_paired = measured[:, m] & (measured.sum(1) > 1)
        new = np.concatenate([self.validation_indices_, self.test_indices_]).astype(int)
        training = some_cells(self.train_indices_[is_paired[self.train_indices_]], _MAX_TRAINING)
        held_out = some_cells(new[is_paired[new]], _MAX_HELD_OUT)
        if not len(training) or len(held_out) < _MIN_HELD_OUT:
            return
        cells = np.concatenate([training, held_out])
        others = {k: at for k, at in manager.observed.items() if k != modality}
        with torch.enable_grad():
            w = self._infer(manager, cells, observed=others)
        library_nm = manager.libraries[cells]
        z_nl = w[:, : module.n_latent].numpy()
        n = len(training)
        depth = DepthModel.fit(z_nl[:n], library_nm[:n], module.modalities)
        hidden_nm = np.where(np.arange(measured.shape[1]) == m, 0, library_nm)
        library_n = torch.from_numpy(depth.predict(z_nl, hidden_nm, modality))
        x_np = self._places(w, library_nm, modality)
        counts = manager.matrix(modality)
        mean_f = np.asarray(counts.sum(0)).ravel() / max(measured[:, m].sum(), 1)
        features = torch.from_numpy(np.flatnonzero(mean_f >= _MIN_COUNT))
        some = partial(self._some, modality, features)
        regression = None
        if len(features):
            regression = fit_place_regression(
                features,
                x_np[:n],
                _spread(x_np[:n], module.n_latent),
                some_cells(np.arange(n), _MAX_ANCHORS),
                partial(some, cells[:n], w[:n], x_np[:n], library_n[:n]),
                partial(some, cells[n:], w[n:], x_np[n:], library_n[n:]),
            )
        self.imputers_[modality] = {
            "depth": asdict(depth),
            "regression": None if regression is None else regression.plain(),
        }

    def _some(
        self,
        modality: str,
        features: Tensor,
        cells: np.ndarray,
        w: Tensor,
        x_np: Tensor,
        library_n: Tensor,
    ) -> Iterator[SomeCells]:
        """Cells in minibatches, with what they have counted and what the decoder says."""
        first = 0
        output = self.module.decoder.head(modality).output
        for batch, w_bd in self._with_rows(self.adata_manager, cells, w, None):
            here = slice(first, first + len(w_bd))
            first = here.stop
            given = DecoderInput(w_bd, batch["continuous"], library_n[here].to(w_bd))
            decoded = self._decoded_log1p(modality, given, output)
            average = self._decoded_log1p(modality, self._at_average(given), output)
            seen = batch["counts"][modality].to_dense().log1p()
            yield SomeCells(x_np[here], *(a.cpu()[:, features] for a in (seen, decoded, average)))

    def _decoded_log1p(self, modality: str, given: DecoderInput, output: nn.Linear) -> Tensor:
        module = self.module
        latent = module.decoder_input(given.w, given.continuous)
        logits = output(module.decoder.hidden(latent, [modality])[modality])
        return module.likelihood(modality).mean(logits, given.library.to(logits)).log1p()

    def _at_average(self, given: DecoderInput) -> DecoderInput:
        """The same cells at the average of all covariates."""
        module, n = self.module, len(given.w)
        unknown = torch.full((n, len(self.summary.covariates)), -1, device=given.w.device)
        w = torch.cat([given.w[:, : module.n_latent], category_means(module, unknown)], dim=1)
        return given._replace(w=w, continuous=module.continuous_mean.expand(n, -1))

    def _places(self, w: Tensor, library_nm: np.ndarray, modality: str) -> Tensor:
        """Basal representation and log libraries of the other modalities, NaN if not measured."""
        others = np.delete(library_nm, self.module.modalities.index(modality), axis=1)
        log_library = np.log(np.where(others > 0, others, np.nan))
        z_nl = w[:, : self.module.n_latent]
        return torch.cat([z_nl, torch.from_numpy(log_library).to(z_nl)], dim=1)

    @torch.inference_mode()
    def impute(
        self,
        adata: AnnData | MuData | None = None,
        modality: str | None = None,
        indices: Sequence[int] | None = None,
        feature_list: Sequence[str] | None = None,
        n_samples: int | None = None,
        library_size: float | None = None,
        transform_batch: str | int | None = None,
        batch_size: int | None = None,
        return_numpy: bool = False,
        key_added: str | None = None,
    ) -> pd.DataFrame | np.ndarray | None:
        """Counts to be expected of cells in a modality, measured or not.

        Cells are placed by what was measured in them. What they would have counted in the
        modality is the decoder's answer there, for a library of the size that cells with such a
        representation and such libraries in the other modalities had in training.

        For features that are counted at least once a cell on average, this is mixed with what
        training cells that have the modality and others counted at such places: a kernel ridge
        regression of log counts, learned at the end of training, whose share is what explains
        held-out cells best. Cells that have the modality keep the decoder's answer, and so do all
        if fewer than 20 held-out cells have it and another one.

        To see how good this is, leave the modality out of ``adata``: where it is there, it has
        its say in where the cells lie.

        Parameters
        ----------
        adata, indices
            As for :meth:`get_latent_representation`.
        modality
            The one to impute; may be left out if the cells lack exactly one.
        feature_list
            Features to return, all by default.
        n_samples
            Draw counts that often (with ``scvi.settings.seed``) in place of their mean, each time
            from another draw of the cells' places and of the decoder. The library is as predicted
            in all of them.
        library_size
            Total count of every cell. By default the cell's own where the modality was measured,
            and else as predicted.
        transform_batch
            As for :meth:`get_normalized_expression`.
        batch_size
            Cells handled at a time. Defaults to ``scvi.settings.batch_size``.
        return_numpy
            Return an array in place of a table.
        key_added
            Write the table into ``adata.obsm[key_added]`` and return nothing.

        Returns
        -------
        Shape ``(n_cells, n_features)``, in counts; ``(n_samples, n_cells, n_features)``, always
        an array, for several draws.

        Raises
        ------
        ValueError
            If there is no such modality, ``modality`` is needed, or an argument cannot be used.

        Examples
        --------
        >>> proteins = model.impute(rna_only, modality="prot")  # doctest: +SKIP
        """
        if n_samples is not None:
            positive_int("n_samples", n_samples)
        if library_size is not None and not library_size > 0:
            raise ValueError(f"`library_size` must be above 0, found {library_size}.")
        if key_added is not None and (indices is not None or (n_samples or 1) > 1):
            raise ValueError("`key_added` needs one table of all cells: leave out `indices`.")
        manager = self._manager_of(adata)
        modality = self._lacking(manager) if modality is None else self._modality(modality)
        features = self._features(modality, feature_list)
        likelihood = self.module.likelihood(modality)
        module = self.module
        is_drawn = n_samples is not None
        cells, w = self._representation(manager, indices, batch_size)
        library_nm = self._whole_libraries(manager, indices, batch_size)
        lacks_n = torch.from_numpy(library_nm[:, module.modalities.index(modality)] == 0)
        regression = self._regression(modality)
        # What mends the answer was learned for libraries as predicted.
        library_n = self._depth(library_nm, w, modality, None if regression else library_size)
        tables = []
        with own_stream(module.device, given_seed()) if is_drawn else nullcontext():
            for inputs, output in self._draws(manager, indices, modality, n_samples, batch_size):
                parts = [np.zeros((0, len(features)), np.float32)]
                first = 0
                for w, continuous, _ in inputs:
                    here = slice(first, first + len(w))
                    first = here.stop
                    given = DecoderInput(
                        self._as_batch(w, transform_batch), continuous, library_n[here].to(w)
                    )
                    mean = self._decoded_log1p(modality, given, output)
                    if regression is not None:
                        x_np = self._places(w, library_nm[here], modality)
                        average = self._decoded_log1p(modality, self._at_average(given), output)
                        lacks = lacks_n[here].to(w.device)
                        mean[lacks] = regression.mended(x_np, mean, average)[lacks]
                    mean = mean.expm1()
                    if library_size is not None:
                        mean = mean * (library_size / mean.sum(1, keepdim=True))
                    values = likelihood.sample(mean) if is_drawn else mean
                    parts.append(values[:, features].cpu().numpy())
                tables.append(np.concatenate(parts))
        array = np.stack(tables)
        if len(array) > 1:
            return array
        if return_numpy:
            return array[0]
        table = self._table(array[0], manager, indices, modality, features)
        if key_added is None:
            return table
        target = self.adata if adata is None else adata
        target.obsm[key_added] = table
        return None

    def _lacking(self, manager: CellManager) -> str:
        """The one modality that was measured in no cell."""
        lacking = [m for m in self.module.modalities if m not in manager.observed]
        if len(lacking) != 1:
            raise ValueError(
                f"`modality` is needed: the cells lack {lacking or 'none'} of "
                f"{self.module.modalities}."
            )
        return lacking[0]

    def _whole_libraries(
        self, manager: CellManager, indices: Sequence[int] | None, batch_size: int | None
    ) -> np.ndarray:
        """Libraries of the asked cells, as if all features had been measured in them."""
        module = self.module
        library_nm = manager.libraries[as_positions(indices, manager.adata.n_obs)].copy()
        n_features = self.summary.n_features
        incomplete = {m: at for m, at in manager.observed.items() if len(at) < n_features[m]}
        first = 0
        for batch, w in self._decoded(manager, indices, batch_size) if incomplete else ():
            here = slice(first, first + len(w))
            first = here.stop
            logits = module.generative(w, batch["continuous"], list(incomplete))["logits"]
            for modality, at in incomplete.items():
                seen_n = logits[modality].softmax(-1)[:, at].sum(1)
                library_nm[here, module.modalities.index(modality)] /= seen_n.cpu().numpy()
        return library_nm

    def _depth(
        self,
        library_nm: np.ndarray,
        w: torch.Tensor,
        modality: str,
        library_size: float | None,
    ) -> torch.Tensor:
        """Total count of each cell in one modality, given those that were measured."""
        if library_size is not None:
            return torch.full((len(w),), float(library_size))
        z_nl = w[:, : self.module.n_latent].cpu().numpy()
        imputer = self.imputers_.get(modality)
        depth_model = self.depth_model_ if imputer is None else imputer["depth"]
        if depth_model is None:
            raise ValueError("`library_size` is needed: the model does not know any.")
        depth = DepthModel(**depth_model)
        return torch.from_numpy(depth.predict(z_nl, library_nm, modality))

    def _regression(self, modality: str) -> PlaceRegression | None:
        """What mends the decoder's answer for cells without a modality, on the device."""
        imputer = self.imputers_.get(modality)
        if imputer is None or imputer["regression"] is None:
            return None
        return PlaceRegression.from_plain(imputer["regression"], self.module.device)


def _spread(x_np: Tensor, n_latent: int) -> Tensor:
    """Standard deviations of what is known: one for all of z, and one of each log library."""
    known = ~x_np.isnan()
    deviation = torch.where(known, x_np - x_np.nanmean(0), 0.0)
    variance = deviation.square().sum(0) / known.sum(0).clamp(min=1)
    variance[:n_latent] = variance[:n_latent].mean()
    return torch.where(variance > 0, variance, 1.0).sqrt()
