"""Calibration of class probabilities on held-out labels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from multiDGD._record import Record

_MAX_NOISE = 0.3
_MAX_WEIGHT = 2.0


@dataclass(frozen=True)
class LabelCalibration(Record):
    """Correlation within classes and parameters of :func:`calibrate`.

    Attributes
    ----------
    temperature, weight, noise
        Arguments of :func:`calibrate`; the defaults leave probabilities unchanged.
    correlation
        Correlation of the latent dimensions within classes, shape ``(L, L)``; `None` for no
        correlation.
    """

    temperature: float = 1.0
    weight: float = 0.0
    noise: float = 0.0
    correlation: np.ndarray | None = None


def calibrate(
    log_prob_nc: Tensor, log_share_nc: Tensor, temperature: float, weight: float, noise: float
) -> Tensor:
    r"""Calibrated log probabilities of classes.

    They are the logarithm of
    :math:`(1 - \epsilon)\,\mathrm{softmax}(\log p / T + b \log s) + \epsilon / C`.

    The temperature T scales the confidence of all probabilities p (Guo et al., 2017). The shares s
    of the labels among a cell's nearest neighbours represent shapes of classes that a single
    density cannot. Their weight relative to p is b (a logarithmic pool). A share :math:`\epsilon`
    of the labels is uninformative, such as those of damaged cells and annotation errors. It bounds
    the highest probabilities; a temperature alone cannot do so without distorting the others.

    Parameters
    ----------
    log_prob_nc
        Log probabilities of C classes, shape ``(n, C)``.
    log_share_nc
        Log shares of the labels among neighbours, shape ``(n, C)``.
    temperature
        T, above 0.
    weight
        b, at least 0.
    noise
        :math:`\epsilon`, at least 0 and below 1.

    Returns
    -------
    Shape ``(n, C)``.
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
    r"""MAP estimate of the temperature, weight and noise of :func:`calibrate`.

    They are shared by all cells and classes. The priors are :math:`\log T \sim N(0, 1)`,
    :math:`b \sim \mathrm{Exp}(1)` and :math:`\epsilon \sim U(0, 0.3)`; the search is over a grid.

    Parameters
    ----------
    log_prob_nc, log_share_nc
        As for :func:`calibrate`.
    labels_n
        Codes of the true classes, shape ``(n,)``.

    Returns
    -------
    Temperature, weight and noise.
    """
    log_prob_nc, log_share_nc = log_prob_nc.double(), log_share_nc.double()
    true_class = torch.arange(len(labels_n)), labels_n.long()
    noise_e1 = torch.linspace(0, _MAX_NOISE, 16, dtype=torch.float64)[:, None]
    n_classes = log_prob_nc.shape[1]
    found = []
    for weight in torch.linspace(0, _MAX_WEIGHT, 17, dtype=torch.float64):
        for log_t in torch.linspace(-2, 4, 61, dtype=torch.float64):
            pooled_nc = log_prob_nc / log_t.exp() + weight * log_share_nc
            true_n = pooled_nc.softmax(1)[true_class]
            noisy_en = (1 - noise_e1) * true_n + noise_e1 / n_classes
            log_posterior_e = noisy_en.clamp(min=1e-300).log().sum(1) - log_t**2 / 2 - weight
            best = int(log_posterior_e.argmax())
            parameters = float(log_t.exp()), float(weight), float(noise_e1[best])
            found.append((float(log_posterior_e[best]), *parameters))
    return max(found)[1:]
