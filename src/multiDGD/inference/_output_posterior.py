"""Posterior of the last layer of the decoder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from multiDGD._record import Record
from multiDGD.module import MultiDGDModule

# Minimum information per feature, in counts. It gives features without counts a wide interval
# instead of an infinite one.
_MIN_INFORMATION = 0.25


@dataclass(frozen=True)
class OutputPosterior(Record):
    r"""Normal posterior of the weights of one modality's last layer, given the training cells.

    The inputs :math:`h_i` of the layer are treated as known. The weights of feature j are then
    those of a separate regression with information
    :math:`\sum_i d_{ij} \tilde h_i \tilde h_i^\top`. Here :math:`d_{ij}` is the Fisher information
    of a count about the logarithm of its mean, and :math:`\tilde h = (1, h)`. The information is
    approximated by :math:`t_j A`, with :math:`t_j = \sum_i d_{ij}`. A is the average of
    :math:`\tilde h_i \tilde h_i^\top`, weighted by the cells' information about all features, so
    that all features share one matrix. Weights have the normal prior of training; the bias has no
    prior.

    Attributes
    ----------
    centre
        Weighted average of h, shape ``(h,)``.
    basis, spread
        Eigenvectors (columns) and eigenvalues of the covariance of h, shapes ``(h, h)`` and
        ``(h,)``.
    information
        t of each feature, shape ``(f,)``.
    prior_precision
        Prior precision of each weight.
    """

    centre: Tensor
    basis: Tensor
    spread: Tensor
    information: Tensor
    prior_precision: float

    @torch.no_grad()
    def variance(self, hidden_nh: Tensor, slope_nf: Tensor) -> Tensor:
        """Variance of the log means due to uncertainty of the layer, shape ``(n, f)``.

        Parameters
        ----------
        hidden_nh
            Input of the layer, shape ``(n, h)``.
        slope_nf
            Softmax of the output, shape ``(n, f)``; 0 if it is not normalised.
        """
        square_nh = ((hidden_nh - self.centre) @ self.basis).square()
        logit_nf = torch.addmm(1 / self._bias_precision, square_nh, 1 / self._precision.T)
        # The normaliser of the softmax has an error too, correlated with those of the logits.
        normaliser = (slope_nf.square() * logit_nf).sum(1, keepdim=True)
        return logit_nf * (1 - 2 * slope_nf) + normaliser

    def deviation(self, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Draw posterior deviations of weight and bias, shapes ``(f, h)`` and ``(f,)``.

        Parameters
        ----------
        generator
            Random generator on the CPU; torch's global generator by default.
        """
        device, (f, h) = self.centre.device, self._precision.shape
        normal = torch.randn(f, h + 1, generator=generator, dtype=torch.float32)
        normal = normal.to(device, self.centre.dtype)
        weight = (normal[:, :h] / self._precision.sqrt()) @ self.basis.T
        return weight, normal[:, h] / self._bias_precision.sqrt() - weight @ self.centre

    @property
    def _bias_precision(self) -> Tensor:
        """Precision of the biases at the average h, shape ``(f,)``."""
        return self.information.clamp(min=_MIN_INFORMATION)

    @property
    def _precision(self) -> Tensor:
        """Precision of the weights along each eigenvector, shape ``(f, h)``."""
        return torch.outer(self.information, self.spread) + self.prior_precision


@torch.no_grad()
def output_posteriors(
    module: MultiDGDModule,
    cells: Iterable[tuple[dict[str, Any], Tensor]],
    prior_precision: float,
    n_cells: int | None = None,
) -> dict[str, OutputPosterior]:
    """Posterior of the last layer of each modality.

    Parameters
    ----------
    module
        A trained module.
    cells
        Minibatches of training cells and their representations, on the module's device.
    prior_precision
        Prior precision of each weight.
    n_cells
        Number of all training cells, if ``cells`` is only a random sample of them.
    """
    sums: dict[str, list[Tensor]] = {}
    n_seen = 0
    for batch, w in cells:
        n_seen += len(w)
        hidden = module.decoder.hidden(module.decoder_input(w, batch["continuous"]))
        for modality, h in hidden.items():
            likelihood = module.likelihood(modality)
            logits = module.decoder.head(modality).output(h)
            library = batch["counts"][modality].library.to(logits)
            d_nf = likelihood.fisher(likelihood.mean(logits, library))
            one = torch.cat([torch.ones_like(h[:, :1]), h], dim=1).double()
            weighted = d_nf.sum(1, keepdim=True) * one
            terms = [weighted.T @ one, d_nf.sum(0).double()]
            total = sums.get(modality, [torch.zeros_like(x) for x in terms])
            sums[modality] = [a + b for a, b in zip(total, terms, strict=True)]
    scale = (n_cells or n_seen) / max(n_seen, 1)
    return {m: _posterior(a, scale * t_f, prior_precision) for m, (a, t_f) in sums.items()}


def _posterior(moment: Tensor, information: Tensor, prior_precision: float) -> OutputPosterior:
    moment = moment / moment[0, 0].clamp(min=1e-30)
    centre = moment[0, 1:]
    spread, basis = torch.linalg.eigh(moment[1:, 1:] - torch.outer(centre, centre))
    return OutputPosterior(
        centre=centre.float(),
        basis=basis.float(),
        spread=spread.clamp(min=0).float(),
        information=information.float(),
        prior_precision=prior_precision,
    )
