"""Correlation of the latent dimensions within classes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from multiDGD.latent import GaussianMixtureSupervised
from multiDGD.stats import shrunk_correlation


@torch.no_grad()
def class_correlation(
    z_nl: Tensor, labels_n: Tensor, mixture: GaussianMixtureSupervised
) -> np.ndarray:
    """Correlation of the latent dimensions within classes, shared by all classes.

    The mixture components have diagonal covariances. The pooled correlation of the labelled cells
    is estimated with Ledoit-Wolf shrinkage towards zero correlation (Ledoit and Wolf, 2004).

    Parameters
    ----------
    z_nl
        Representations of labelled cells, shape ``(n, L)``.
    labels_n
        Codes of their classes, shape ``(n,)``.
    mixture
        Mixture over z.

    Returns
    -------
    Positive definite matrix, shape ``(L, L)``.
    """
    z_nl = z_nl.to(mixture.mean)
    log_joint_nk = mixture.component_log_prob(z_nl)
    class_k = torch.arange(mixture.n_mix_comp, device=z_nl.device) // mixture.Ncompperclass
    other_nk = class_k != labels_n.to(z_nl.device)[:, None]
    nearest = log_joint_nk.masked_fill(other_nk, -torch.inf).argmax(1)
    scaled = (z_nl - mixture.mean[nearest]) / mixture.stddev.expand(-1, mixture.dim)[nearest]
    return shrunk_correlation(scaled.double().cpu().numpy())
