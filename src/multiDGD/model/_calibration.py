"""Probabilities of labels that are right as often as they say."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from multiDGD.latent import GaussianMixtureSupervised

from ._posterior import PosteriorMixin
from ._random import some_cells

# With fewer cells a temperature says more about them than about the model.
_MIN_CELLS = 20
# More cells would not change one number.
_MAX_CELLS = 2000


class CalibrationMixin(PosteriorMixin):
    """The temperature that held-out cells' labels ask for."""

    label_temperature_: float

    def _on_trained(self) -> None:
        super()._on_trained()
        mixture = self.module.mixture
        if not isinstance(mixture, GaussianMixtureSupervised):
            return
        held_out = np.concatenate([self.validation_indices_, self.test_indices_]).astype(int)
        labels = self.adata_manager.create_torch_dataset().labels
        cells = some_cells(held_out[labels[held_out] >= 0], _MAX_CELLS)
        if len(cells) < _MIN_CELLS:
            self.label_temperature_ = 1.0
            return
        # In training, rows of held-out cells follow the decoder; these are what new cells get.
        w = self._infer(self.adata_manager, cells)
        log_prob = self._label_log_prob(self.adata_manager, cells, w)
        self.label_temperature_ = fit_temperature(log_prob, torch.from_numpy(labels[cells]))


def fit_temperature(log_prob_nc: Tensor, labels_n: Tensor) -> float:
    r"""The temperature T at which ``softmax(log_prob / T)`` explains labels best.

    One number for all cells and classes (Guo et al., 2017), under the prior
    :math:`\log T \sim N(0, 1)`.

    Parameters
    ----------
    log_prob_nc
        Log probabilities, shape ``(n, classes)``.
    labels_n
        Codes of the true classes, shape ``(n,)``.
    """
    log_t = torch.linspace(-2, 4, 121, dtype=torch.float64)
    tempered = (log_prob_nc.double() / log_t.exp()[:, None, None]).log_softmax(-1)
    true = tempered[:, torch.arange(len(labels_n)), labels_n.long()].sum(1)
    return float(log_t[(true - log_t**2 / 2).argmax()].exp())
