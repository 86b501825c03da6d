"""Prediction of labels with the supervised mixture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from torch import Tensor

from multiDGD.data import CellManager
from multiDGD.inference import component_log_evidence
from multiDGD.latent import GaussianMixtureSupervised
from multiDGD.model.core._cell_subset import CellSubset
from multiDGD.model.core._posterior import PosteriorMixin
from multiDGD.model.core._random import subsample
from multiDGD.module import MultiDGDModule
from multiDGD.stats import LabelCalibration, calibrate, fit_calibration

from ._class_correlation import class_correlation

# A calibration on fewer cells would be overfitted.
_MIN_CELLS = 20
# More cells would hardly change the three parameters.
_MAX_CELLS = 2000
# Degrees of freedom of the class densities; the benchmark `labels` compares other values.
_DF = 16.0


class LabelMixin(PosteriorMixin):
    """Prediction of labels, calibrated on held-out cells."""

    def predict(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        soft: bool = False,
        batch_size: int | None = None,
        silent: bool = False,
    ) -> np.ndarray | pd.DataFrame:
        """Predict the label of each cell with the supervised mixture.

        The MAP estimate of a representation is biased towards some class. The likelihood of each
        class is therefore integrated over the representation, with a normal approximation (see
        :func:`multiDGD.inference.component_log_evidence`). Classes have the standard deviations of
        their mixture components and the tails of a Student density with 16 degrees of freedom.
        The correlation between dimensions within classes is shared by all classes. It is estimated
        from the labelled training cells.

        If at least 20 labelled cells are held out from training, the probabilities are calibrated
        on them. Training does not use the labels of these cells. Three parameters are fitted to
        them: a temperature, the weight of the labels of the 15 nearest training cells, and a small
        share of wrong labels.

        Parameters
        ----------
        adata, indices
            As for :meth:`get_latent_representation`.
        soft
            Whether to return the probabilities of all labels.
        batch_size
            Number of cells in a minibatch; ``scvi.settings.batch_size`` by default.
        silent
            Whether to hide the progress bars.

        Returns
        -------
        Labels, shape ``(n_cells,)``; with ``soft``, a table of probabilities, cells x labels.

        Raises
        ------
        ValueError
            If the mixture is not supervised, or ``adata`` is missing in a model that was loaded
            without data.

        Examples
        --------
        >>> adata.obs["predicted"] = model.predict()  # doctest: +SKIP
        >>> is_confident = model.predict(soft=True).max(axis=1) > 0.9  # doctest: +SKIP
        """
        mixture = self.module.mixture
        if not isinstance(mixture, GaussianMixtureSupervised):
            raise ValueError(
                "`predict` needs a supervised mixture: register `labels_key` and keep "
                "`supervised=True`."
            )
        manager = self._manager_of(adata)
        cells, w = self._representation(manager, indices, batch_size, silent)
        calibration = self._learned.labels
        log_prob = calibrate(
            self._label_log_prob(manager, cells, w, calibration.correlation, batch_size, silent),
            self._label_log_share(w, self._learned.cell_subset),
            calibration.temperature,
            calibration.weight,
            calibration.noise,
        )
        labels = self.summary.labels
        if soft:
            names = manager.adata.obs_names[cells]
            return pd.DataFrame(log_prob.exp().float().numpy(), index=names, columns=labels)
        return labels[log_prob.argmax(1).numpy()]

    def _learn_labels(self, subset: CellSubset | None) -> LabelCalibration:
        """Estimate the correlation within classes, and calibrate on held-out cells."""
        mixture = self.module.mixture
        if not isinstance(mixture, GaussianMixtureSupervised):
            return LabelCalibration()
        held_out = np.concatenate([self.validation_indices_, self.test_indices_]).astype(int)
        labels = self.adata_manager.create_torch_dataset().labels
        labelled = self.train_indices_[labels[self.train_indices_] >= 0]
        w = self.module.representations.z.detach().cpu()
        z_nl = w[labelled, : self.module.n_latent]
        correlation = class_correlation(z_nl, torch.from_numpy(labels[labelled]), mixture)
        cells = subsample(held_out[labels[held_out] >= 0], _MAX_CELLS)
        if len(cells) < _MIN_CELLS:
            return LabelCalibration(correlation=correlation)
        fitted = fit_calibration(
            self._label_log_prob(self.adata_manager, cells, w[cells], correlation),
            self._label_log_share(w[cells], subset),
            torch.from_numpy(labels[cells]),
        )
        return LabelCalibration(*fitted, correlation=correlation)

    @torch.inference_mode(False)
    def _label_log_prob(
        self,
        manager: CellManager,
        cells: np.ndarray,
        w: Tensor,
        correlation: np.ndarray | None,
        batch_size: int | None = None,
        silent: bool = True,
    ) -> Tensor:
        """Log probability of each label, integrated over the representation of the cell.

        Shape ``(n, labels)``, on the CPU.
        """
        panels = self._panels(manager)
        mixture = cast(GaussianMixtureSupervised, self.module.mixture)
        correlation_ll = (
            None if correlation is None else torch.from_numpy(correlation).to(mixture.mean.device)
        )

        def evidence(module: MultiDGDModule, part: dict[str, Any], w: Tensor) -> Tensor:
            return component_log_evidence(module, part, w, correlation_ll, _DF)

        parts = [mixture.mean.new_zeros(0, mixture.Nclass, device="cpu")]
        for batch, w_bd in self._batches_with(manager, cells, w, batch_size, silent):
            joint_bk = panels.map(evidence, batch, w_bd)
            joint_bc = joint_bk.view(len(w_bd), mixture.Nclass, -1).logsumexp(2)
            parts.append(joint_bc.log_softmax(1).cpu())
        self.module.workspace.clear()
        return torch.cat(parts)

    def _label_log_share(self, w: Tensor, subset: CellSubset | None) -> Tensor:
        """Log shares of the labels among the nearest labelled training cells.

        Shape ``(n, labels)``, on the CPU. Shares are equal without a subset of training cells.
        """
        mixture = cast(GaussianMixtureSupervised, self.module.mixture)
        if subset is None:
            return w.new_full((len(w), mixture.Nclass), -math.log(mixture.Nclass))
        return torch.from_numpy(subset.label_shares(w[:, : mixture.dim], mixture.Nclass)).log()
