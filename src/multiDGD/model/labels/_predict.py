"""Labels of cells by the supervised mixture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

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
from multiDGD.module import FeatureSubset
from multiDGD.stats import LabelCalibration, calibrate, fit_calibration

from ._class_correlation import class_correlation

# A calibration on fewer cells would describe these cells rather than the model.
_MIN_CELLS = 20
# More cells would not change three numbers.
_MAX_CELLS = 2000
# Degrees of freedom of the tails of classes; the benchmark `labels` compares others.
_DF = 16.0


class LabelMixin(PosteriorMixin):
    """Prediction of labels, calibrated on held-out cells."""

    def predict(
        self,
        adata: AnnData | MuData | None = None,
        indices: Sequence[int] | None = None,
        soft: bool = False,
        batch_size: int | None = None,
    ) -> np.ndarray | pd.DataFrame:
        """Label of each cell by the supervised mixture.

        The place of a cell is not known exactly, and its most probable place leans towards some
        class: what each class says of the counts is therefore averaged over all places where the
        cell may lie (by a normal approximation; see
        :func:`multiDGD.inference.component_log_evidence`). Classes are as wide along each dimension as
        their components, with the tails of Student's density with 16 degrees of freedom; the
        correlation between dimensions is one for all classes, learned from the labelled training
        cells. Where at least 20 labelled cells were held out from training, which never shows
        their labels to the model, probabilities are calibrate on them: a temperature, how much
        the labels of the 15 nearest training cells count beside the classes' densities, and a small
        share of wrong labels are chosen such that these labels are explained best.

        Parameters
        ----------
        adata, indices
            As for :meth:`get_latent_representation`.
        soft
            Return the probability of every label.
        batch_size
            Cells handled at a time. Defaults to ``scvi.settings.batch_size``.

        Returns
        -------
        Labels, shape ``(n_cells,)``; or a table of cells by labels whose rows sum to 1.

        Raises
        ------
        ValueError
            If the mixture is not supervised, or the model was loaded without data and ``adata``
            is not given.

        Examples
        --------
        >>> adata.obs["predicted"] = model.predict()  # doctest: +SKIP
        >>> is_sure = model.predict(soft=True).max(axis=1) > 0.9  # doctest: +SKIP
        """
        mixture = self.module.mixture
        if not isinstance(mixture, GaussianMixtureSupervised):
            raise ValueError(
                "`predict` needs a supervised mixture: register `labels_key` and leave "
                "`supervised=True`."
            )
        manager = self._manager_of(adata)
        cells, w = self._representation(manager, indices, batch_size)
        found = self._learned.labels
        log_prob = calibrate(
            self._label_log_prob(manager, cells, w, found.correlation, batch_size),
            self._label_log_share(w, self._learned.cell_subset),
            found.temperature,
            found.weight,
            found.noise,
        )
        labels = self.summary.labels
        if soft:
            names = manager.adata.obs_names[cells]
            return pd.DataFrame(log_prob.exp().float().numpy(), index=names, columns=labels)
        return labels[log_prob.argmax(1).numpy()]

    def _learn_labels(self, subset: CellSubset | None) -> LabelCalibration:
        """Estimate the shape of the classes on training cells, calibrate on held-out cells."""
        mixture = self.module.mixture
        if not isinstance(mixture, GaussianMixtureSupervised):
            return LabelCalibration()
        held_out = np.concatenate([self.validation_indices_, self.test_indices_]).astype(int)
        labels = self.adata_manager.create_torch_dataset().labels
        known = self.train_indices_[labels[self.train_indices_] >= 0]
        w = self.module.representations.z.detach().cpu()
        z_nl = w[known, : self.module.n_latent]
        correlation = class_correlation(z_nl, torch.from_numpy(labels[known]), mixture)
        cells = subsample(held_out[labels[held_out] >= 0], _MAX_CELLS)
        if len(cells) < _MIN_CELLS:
            return LabelCalibration(correlation=correlation)
        found = fit_calibration(
            self._label_log_prob(self.adata_manager, cells, w[cells], correlation),
            self._label_log_share(w[cells], subset),
            torch.from_numpy(labels[cells]),
        )
        return LabelCalibration(*found, correlation=correlation)

    @torch.inference_mode(False)
    def _label_log_prob(
        self,
        manager: CellManager,
        cells: np.ndarray,
        w: Tensor,
        correlation: np.ndarray | None,
        batch_size: int | None = None,
    ) -> Tensor:
        """Log probability of each label of a supervised mixture, with cells' places integrated out.

        Shape ``(n, labels)``, on the CPU.
        """
        seen = FeatureSubset(self.module, manager.observed)
        mixture = cast(GaussianMixtureSupervised, self.module.mixture)
        shape = (
            None if correlation is None else torch.from_numpy(correlation).to(mixture.mean.device)
        )
        parts = [torch.zeros(0, mixture.Nclass)]
        for batch, w_bd in self._batches_with(manager, cells, w, batch_size):
            joint_bk = component_log_evidence(seen.module, seen.batch(batch), w_bd, shape, _DF)
            joint_bc = joint_bk.view(len(w_bd), mixture.Nclass, -1).logsumexp(2)
            parts.append(joint_bc.log_softmax(1).cpu())
        self.module.workspace.clear()
        return torch.cat(parts)

    def _label_log_share(self, w: Tensor, cells: CellSubset | None) -> Tensor:
        """Log shares of the labels among the labelled training cells nearest to rows.

        Shape ``(n, labels)``, on the CPU; alike in models that have noted no cells.
        """
        mixture = cast(GaussianMixtureSupervised, self.module.mixture)
        if cells is None:
            return torch.full((len(w), mixture.Nclass), -math.log(mixture.Nclass))
        return torch.from_numpy(cells.label_shares(w[:, : mixture.dim], mixture.Nclass)).log()
