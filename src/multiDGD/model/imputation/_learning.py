"""Regressions for imputation, fitted at the end of training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from multiDGD.model.core._posterior import DecoderInput
from multiDGD.model.core._random import new_generator, subsample
from multiDGD.model.decoding._decoding import DecodingMixin
from multiDGD.module import category_means
from multiDGD.stats import (
    Imputer,
    LibraryRegression,
    RegressionCells,
    ResidualRegression,
    fit_residual_regression,
)

# Cells whose representations are inferred without the modality. More cells change little.
_MAX_TRAINING, _MAX_HELD_OUT = 2000, 500
# Fewer held-out cells do not show whether the correction generalises.
_MIN_HELD_OUT = 20
_MAX_ANCHORS = 400
# Log counts of rarer features are hardly informative.
_MIN_COUNT = 1.0
# Pairs of draws for each held-out cell.
_N_PAIRS = 2


class ImputerMixin(DecodingMixin):
    """Regressions of library sizes and residuals for cells with a missing modality."""

    def _learn_library_regression(self) -> LibraryRegression:
        """Regression of the training cells' library sizes on their representations."""
        cells = self.train_indices_
        z_nl = self.module.representations.z.detach().cpu().numpy()[cells, : self.module.n_latent]
        library_nm = self._complete_libraries(self.adata_manager, cells, None)
        return LibraryRegression.fit(z_nl, library_nm, self.module.modalities)

    def _learn_imputers(self) -> dict[str, Imputer]:
        """Imputer of each modality that enough held-out cells have together with another one."""
        found = {m: self._learn_imputer(m) for m in self.module.modalities}
        return {m: imputer for m, imputer in found.items() if imputer is not None}

    @torch.inference_mode(False)
    @torch.no_grad()
    def _learn_imputer(self, modality: str) -> Imputer | None:
        """Fit the regressions to representations inferred without a measured modality."""
        manager, module = self.adata_manager, self.module
        m = module.modalities.index(modality)
        measured = manager.libraries > 0
        is_paired = measured[:, m] & (measured.sum(1) > 1)
        others = np.concatenate([self.validation_indices_, self.test_indices_]).astype(int)
        training = subsample(self.train_indices_[is_paired[self.train_indices_]], _MAX_TRAINING)
        held_out = subsample(others[is_paired[others]], _MAX_HELD_OUT)
        if not len(training) or len(held_out) < _MIN_HELD_OUT:
            return None
        cells = np.concatenate([training, held_out])
        with torch.enable_grad():
            w = self._infer(manager, cells, without=modality)
        library_nm = self._complete_libraries(manager, cells, None)
        z_nl = w[:, : module.n_latent].numpy()
        n = len(training)
        library_regression = LibraryRegression.fit(z_nl[:n], library_nm[:n], module.modalities)
        without_nm = np.where(np.arange(measured.shape[1]) == m, 0, library_nm)
        predicted = library_regression.predict(z_nl, without_nm, modality)
        library_n, spread_n = map(torch.from_numpy, predicted)
        x_np = self._regressors(w, library_nm, modality)
        total_f = sum(np.asarray(block.sum(0)).ravel() for block in manager.blocks(modality))
        mean_f = np.asarray(total_f) / max(measured[:, m].sum(), 1)
        # A feature that some of these cells lack has no residuals there.
        mean_f[~self._panels(manager).measured(cells, modality).numpy().all(0)] = 0
        features = torch.from_numpy(np.flatnonzero(mean_f >= _MIN_COUNT))
        inferred = _InferredCells(cells, w, x_np, library_n, spread_n)
        held_out_cells = inferred.part(slice(n, None))
        minibatches = partial(self._regression_cells, modality, features)
        regression = None
        if len(features):
            regression = fit_residual_regression(
                features,
                x_np[:n],
                _kernel_scale(x_np[:n], module.n_latent),
                subsample(np.arange(n), _MAX_ANCHORS),
                partial(minibatches, inferred.part(slice(n))),
                partial(minibatches, held_out_cells),
            )
        if regression is not None:
            scatter = self._excess_variance(modality, regression, held_out_cells)
            regression = replace(regression, scatter=scatter)
        return Imputer(library_regression, regression)

    def _regression_cells(
        self, modality: str, features: Tensor, inferred: _InferredCells
    ) -> Iterator[RegressionCells]:
        """Minibatches of cells with observed and decoded log counts."""
        for batch, here, decoded, average in self._minibatches(modality, inferred):
            observed = batch["counts"][modality].to_dense().log1p()
            yield RegressionCells(
                here.x, *(a.cpu()[:, features] for a in (observed, decoded, average))
            )

    def _excess_variance(
        self, modality: str, regression: ResidualRegression, inferred: _InferredCells
    ) -> Tensor:
        """Variance of the log means beyond that of the likelihood, shape ``(f,)``.

        It is estimated from held-out cells. Without excess variance, the distance between an
        observed count and a draw equals that between two draws.
        """
        likelihood, at = self.module.likelihood(modality), regression.features
        regression = regression.to(self.module.device)
        found = torch.zeros(len(at), dtype=torch.float32)
        generator = new_generator(0, device=self.module.device)
        for batch, here, decoded, average in self._minibatches(modality, inferred):
            mean = regression.corrected(here.x.to(decoded), decoded, average).expm1()
            observed = batch["counts"][modality].to_dense()[:, at].log1p()
            variance = here.spread.to(mean).square()[:, None]
            for _ in range(_N_PAIRS):
                one, other = (
                    likelihood.sample(log_normal(mean, variance, generator), generator)
                    for _ in range(2)
                )
                one, other = (x[:, at].log1p() for x in (one, other))
                excess = (observed - one).square() - (one - other).square()
                found += excess.sum(0).cpu() / _N_PAIRS
        return (found / len(inferred.cells)).clamp(min=0)

    def _minibatches(
        self, modality: str, inferred: _InferredCells
    ) -> Iterator[tuple[dict[str, Any], _InferredCells, Tensor, Tensor]]:
        """Minibatches on the module's device, each with its cells and their decoded values.

        Decoded values are logarithms of 1 + mean counts, first with the cells' own covariates and
        then at the average of all covariates.
        """
        output, first = self.module.decoder.head(modality).output, 0
        for batch, w_bd in self._batches_with(
            self.adata_manager, inferred.cells, inferred.w, None
        ):
            here = inferred.part(slice(first, first + len(w_bd)))
            first += len(w_bd)
            given = DecoderInput(w_bd, batch["continuous"], here.library.to(w_bd))
            decoded = self._decoded_log1p(modality, given, output)
            yield batch, here, decoded, self._average_log1p(modality, given, output, decoded)

    def _decoded_log1p(self, modality: str, given: DecoderInput, output: nn.Linear) -> Tensor:
        """Logarithm of 1 + mean counts, shape ``(n, f)``."""
        module = self.module
        latent = module.decoder_input(given.w, given.continuous)
        logits = output(module.decoder.hidden(latent, [modality])[modality])
        return module.likelihood(modality).mean(logits, given.library.to(logits)).log1p()

    def _average_log1p(
        self, modality: str, given: DecoderInput, output: nn.Linear, decoded_nf: Tensor
    ) -> Tensor:
        """Logarithm of 1 + mean counts at the average of all covariates, shape ``(n, f)``."""
        if not (self.module.covariates or self.summary.continuous):
            return decoded_nf
        return self._decoded_log1p(modality, self._average_covariates(given), output)

    def _average_covariates(self, given: DecoderInput) -> DecoderInput:
        """Decoder input of the same cells at the average of all covariates."""
        module, n = self.module, len(given.w)
        unknown = torch.full((n, len(self.summary.covariates)), -1, device=given.w.device)
        w = torch.cat([given.w[:, : module.n_latent], category_means(module, unknown)], dim=1)
        return given._replace(w=w, continuous=module.continuous_mean.expand(n, -1))

    def _regressors(self, w: Tensor, library_nm: np.ndarray, modality: str) -> Tensor:
        """Basal representation and other log library sizes, NaN where not measured."""
        others = np.delete(library_nm, self.module.modalities.index(modality), axis=1)
        log_library = np.log(np.where(others > 0, others, np.nan))
        z_nl = w[:, : self.module.n_latent]
        return torch.cat([z_nl, torch.from_numpy(log_library).to(z_nl)], dim=1)

    def _residual_regression(self, modality: str) -> ResidualRegression | None:
        """Correction of decoded means for cells with a missing modality, on the device."""
        imputer = self._learned.imputers.get(modality)
        if imputer is None or imputer.regression is None:
            return None
        return imputer.regression.to(self.module.device)


class _InferredCells(NamedTuple):
    """Cells whose representations were inferred without a modality.

    Attributes
    ----------
    cells
        Positions of the cells, shape ``(n,)``.
    w
        Representations, shape ``(n, n_representation)``.
    x
        Inputs of the regression, shape ``(n, p)``.
    library, spread
        Predicted library size of the modality and standard deviation of its logarithm, shape
        ``(n,)`` each.
    """

    cells: np.ndarray
    w: Tensor
    x: Tensor
    library: Tensor
    spread: Tensor

    def part(self, here: slice) -> _InferredCells:
        """Subset of the cells."""
        return _InferredCells(
            self.cells[here], self.w[here], self.x[here], self.library[here], self.spread[here]
        )


def log_normal(mean: Tensor, variance: Tensor, generator: torch.Generator) -> Tensor:
    """Draw log-normal values with given means and given variances of the logarithm.

    One normal number is drawn for each entry of ``variance`` and broadcast against ``mean``.

    Parameters
    ----------
    mean
        Means, shape ``(n, f)``.
    variance
        Variances, shape ``(n, f)``; with shape ``(n, 1)``, all features of a cell share one draw.
    generator
        Random generator on the device of the means.
    """
    normal = torch.empty_like(variance).normal_(generator=generator)
    return mean * (variance.sqrt() * normal - variance / 2).exp()


def _kernel_scale(x_np: Tensor, n_latent: int) -> Tensor:
    """Standard deviations of the inputs of the regression, shape ``(p,)``.

    All dimensions of z share one; each log library size has its own.
    """
    known = ~x_np.isnan()
    deviation = torch.where(known, x_np - x_np.nanmean(0), 0.0)
    variance = deviation.square().sum(0) / known.sum(0).clamp(min=1)
    variance[:n_latent] = variance[:n_latent].mean()
    return torch.where(variance > 0, variance, 1.0).sqrt()
