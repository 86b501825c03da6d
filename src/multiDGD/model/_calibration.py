"""Probabilities of labels that are right as often as they say."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.covariance import ledoit_wolf_shrinkage
from torch import Tensor

from multiDGD.latent import GaussianMixtureSupervised

from ._posterior import PosteriorMixin
from ._random import some_cells

# With fewer cells a temperature says more about them than about the model.
_MIN_CELLS = 20
# More cells would not change one number.
_MAX_CELLS = 2000


class CalibrationMixin(PosteriorMixin):
    """The shape of classes, and the temperature that held-out cells' labels ask for."""

    label_temperature_: float

    def _on_trained(self) -> None:
        super()._on_trained()
        mixture = self.module.mixture
        if not isinstance(mixture, GaussianMixtureSupervised):
            return
        held_out = np.concatenate([self.validation_indices_, self.test_indices_]).astype(int)
        labels = self.adata_manager.create_torch_dataset().labels
        known = self.train_indices_[labels[self.train_indices_] >= 0]
        z_nl = self.module.representations.z.detach().cpu()[known, : self.module.n_latent]
        self.label_correlation_ = class_correlation(z_nl, torch.from_numpy(labels[known]), mixture)
        cells = some_cells(held_out[labels[held_out] >= 0], _MAX_CELLS)
        if len(cells) < _MIN_CELLS:
            self.label_temperature_ = 1.0
            return
        # In training, rows of held-out cells follow the decoder; these are what new cells get.
        w = self._infer(self.adata_manager, cells)
        log_prob = self._label_log_prob(self.adata_manager, cells, w)
        self.label_temperature_ = fit_temperature(log_prob, torch.from_numpy(labels[cells]))


@torch.no_grad()
def class_correlation(
    z_nl: Tensor, labels_n: Tensor, mixture: GaussianMixtureSupervised
) -> np.ndarray:
    """Correlation of the dimensions within classes, one for all of them.

    The mixture's components have none. What the cells of all classes have is drawn towards
    it, as far as their number cannot tell it (Ledoit and Wolf, 2004).

    Parameters
    ----------
    z_nl
        Representations of labelled cells, shape ``(n, L)``.
    labels_n
        Codes of their classes, shape ``(n,)``.
    mixture
        The mixture over z.

    Returns
    -------
    Positive definite, shape ``(L, L)``.
    """
    z_nl = z_nl.to(mixture.mean)
    log_joint_nk = mixture.component_log_prob(z_nl)
    class_k = torch.arange(mixture.n_mix_comp, device=z_nl.device) // mixture.Ncompperclass
    other_nk = class_k != labels_n.to(z_nl.device)[:, None]
    nearest = log_joint_nk.masked_fill(other_nk, -torch.inf).argmax(1)
    scaled = (z_nl - mixture.mean[nearest]) / mixture.stddev.expand(-1, mixture.dim)[nearest]
    x = scaled.double().cpu().numpy()
    deviation = np.sqrt((x**2).mean(0))
    x = x / np.where(deviation > 0, deviation, 1)
    identity = np.eye(mixture.dim)
    towards = ledoit_wolf_shrinkage(x, assume_centered=True)
    found = (1 - towards) * (x.T @ x / len(x)) + towards * identity
    np.fill_diagonal(found, 1)
    return found


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
