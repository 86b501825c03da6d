"""Probabilities of labels that are right as often as they say."""

from __future__ import annotations

import math

import numpy as np
import torch
from sklearn.covariance import ledoit_wolf_shrinkage
from torch import Tensor

from multiDGD.latent import GaussianMixtureSupervised

from ._posterior import PosteriorMixin
from ._random import some_cells

# With fewer cells a calibration says more about them than about the model.
_MIN_CELLS = 20
# More cells would not change three numbers.
_MAX_CELLS = 2000
_MAX_NOISE = 0.3
_MAX_WEIGHT = 2.0


class CalibrationMixin(PosteriorMixin):
    """The shape of classes, and the calibration that held-out cells' labels ask for."""

    label_temperature_: float
    label_weight_: float
    label_noise_: float

    def _on_trained(self) -> None:
        super()._on_trained()
        if isinstance(self.module.mixture, GaussianMixtureSupervised):
            self._learn_labels(self.module.mixture)

    def _learn_labels(self, mixture: GaussianMixtureSupervised) -> None:
        """Learn the shape of classes from labelled training cells, calibrate by the others."""
        held_out = np.concatenate([self.validation_indices_, self.test_indices_]).astype(int)
        labels = self.adata_manager.create_torch_dataset().labels
        known = self.train_indices_[labels[self.train_indices_] >= 0]
        w = self.module.representations.z.detach().cpu()
        z_nl = w[known, : self.module.n_latent]
        self.label_correlation_ = class_correlation(z_nl, torch.from_numpy(labels[known]), mixture)
        cells = some_cells(held_out[labels[held_out] >= 0], _MAX_CELLS)
        found = 1.0, 0.0, 0.0
        if len(cells) >= _MIN_CELLS:
            found = fit_calibration(
                self._label_log_prob(self.adata_manager, cells, w[cells]),
                self._label_log_share(w[cells]),
                torch.from_numpy(labels[cells]),
            )
        self.label_temperature_, self.label_weight_, self.label_noise_ = found


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
    # At least as if one more cell had none: of very few cells any correlation is perfect.
    towards = 1 / (1 + len(x))
    if len(x) > 1:
        towards = max(towards, ledoit_wolf_shrinkage(x, assume_centered=True))
    found = (1 - towards) * (x.T @ x / len(x)) + towards * identity
    np.fill_diagonal(found, 1)
    return found


def calibrated(
    log_prob_nc: Tensor, log_share_nc: Tensor, temperature: float, weight: float, noise: float
) -> Tensor:
    r"""Log of :math:`(1 - \epsilon)\,\mathrm{softmax}(\log p / T + b \log s) + \epsilon / C`.

    A temperature T makes all probabilities p less sure alike (Guo et al., 2017). Shares s of the
    labels among a cell's neighbours know shapes of classes that p, of one density each, does not;
    their weight b says how much they count beside it (a logarithmic pool). A share
    :math:`\epsilon` of labels that say nothing, as those of damaged cells or of annotators' slips,
    bounds the surest probabilities, which no temperature does without spoiling the others.

    Parameters
    ----------
    log_prob_nc
        Log probabilities of C classes, shape ``(n, C)``.
    log_share_nc
        Log shares, shape ``(n, C)``.
    temperature
        T, above 0.
    weight
        b, at least 0.
    noise
        :math:`\epsilon`, from 0 to below 1.
    """
    pooled = log_prob_nc.double() / temperature + weight * log_share_nc.double()
    tempered = pooled.log_softmax(-1)
    if not noise:
        return tempered
    uniform = torch.tensor(noise / log_prob_nc.shape[-1], dtype=torch.float64)
    return torch.logaddexp(tempered + math.log1p(-noise), uniform.log())


def fit_calibration(
    log_prob_nc: Tensor, log_share_nc: Tensor, labels_n: Tensor
) -> tuple[float, float, float]:
    r"""Temperature, weight and noise with which :func:`calibrated` explains labels best.

    The same for all cells and classes, under the priors :math:`\log T \sim N(0, 1)`,
    :math:`b \sim \mathrm{Exp}(1)` and :math:`\epsilon \sim U(0, 0.3)`.

    Parameters
    ----------
    log_prob_nc, log_share_nc
        As for :func:`calibrated`.
    labels_n
        Codes of the true classes, shape ``(n,)``.
    """
    log_prob_nc, log_share_nc = log_prob_nc.double(), log_share_nc.double()
    every = torch.arange(len(labels_n)), labels_n.long()
    noise_e1 = torch.linspace(0, _MAX_NOISE, 16, dtype=torch.float64)[:, None]
    n_classes = log_prob_nc.shape[1]
    found = []
    for weight in torch.linspace(0, _MAX_WEIGHT, 17, dtype=torch.float64):
        for log_t in torch.linspace(-2, 4, 61, dtype=torch.float64):
            pooled_nc = log_prob_nc / log_t.exp() + weight * log_share_nc
            true_n = pooled_nc.softmax(1)[every]
            noisy_en = (1 - noise_e1) * true_n + noise_e1 / n_classes
            explained_e = noisy_en.clamp(min=1e-300).log().sum(1) - log_t**2 / 2 - weight
            best = int(explained_e.argmax())
            parameters = float(log_t.exp()), float(weight), float(noise_e1[best])
            found.append((float(explained_e[best]), *parameters))
    return max(found)[1:]
