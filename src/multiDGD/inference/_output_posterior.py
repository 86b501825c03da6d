"""How far from the truth the last layer of the decoder may be."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from multiDGD._record import Record
from multiDGD.module import MultiDGDModule

# Counts worth of information that every feature is taken to have at least, so that one that was
# never counted has a wide interval and not an infinite one.
_MIN_INFORMATION = 0.25


@dataclass(frozen=True)
class OutputPosterior(Record):
    r"""Normal distribution of the weights of one modality's last layer, given the training cells.

    With the input :math:`h_i` of the layer taken as known, feature j's weights are those of a
    regression of its own, whose information is
    :math:`\sum_i d_{ij} \tilde h_i \tilde h_i^\top` with the Fisher information :math:`d_{ij}` of
    each count about the logarithm of its mean and :math:`\tilde h = (1, h)`. It is taken for
    :math:`t_j A`, with :math:`t_j = \sum_i d_{ij}` and A the average of
    :math:`\tilde h_i \tilde h_i^\top` weighted by the cells' information on all features: a matrix
    for all features in place of one for each. Weights have the normal prior of training, the bias
    has none.

    Attributes
    ----------
    centre
        Average of h, shape ``(h,)``.
    basis, spread
        Eigenvectors (columns) and eigenvalues of the covariance of h, shapes ``(h, h)`` and
        ``(h,)``.
    information
        t of each feature, shape ``(f,)``.
    prior_precision
        Of each weight.
    """

    centre: Tensor
    basis: Tensor
    spread: Tensor
    information: Tensor
    prior_precision: float

    @torch.no_grad()
    def variance(self, hidden_nh: Tensor, share_nf: Tensor) -> Tensor:
        """Variance of the log means that the layer gives, shape ``(n, f)``.

        Parameters
        ----------
        hidden_nh
            Its input, shape ``(n, h)``.
        share_nf
            The softmax of its output, shape ``(n, f)``.
        """
        moved = ((hidden_nh - self.centre) @ self.basis).square()
        logit_nf = torch.addmm(1 / self._counted, moved, 1 / self._precision.T)
        # What the softmax divides by has an error too, in part the same.
        common = (share_nf.square() * logit_nf).sum(1, keepdim=True)
        return logit_nf * (1 - 2 * share_nf) + common

    def deviation(self, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Draw what to add to weight and bias, shapes ``(f, h)`` and ``(f,)``.

        Parameters
        ----------
        generator
            On the CPU; torch's global one by default.
        """
        device, (f, h) = self.centre.device, self._precision.shape
        normal = torch.randn(f, h + 1, generator=generator).to(device, self.centre.dtype)
        weight = (normal[:, :h] / self._precision.sqrt()) @ self.basis.T
        return weight, normal[:, h] / self._counted.sqrt() - weight @ self.centre

    @property
    def _counted(self) -> Tensor:
        return self.information.clamp(min=_MIN_INFORMATION)

    @property
    def _precision(self) -> Tensor:
        """Of the weights along each eigenvector, shape ``(f, h)``."""
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
        Minibatches of training cells with their rows, on the module's device.
    prior_precision
        Of each weight.
    n_cells
        Number of training cells, where those given are only a fair sample of them.
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
            found = [weighted.T @ one, d_nf.sum(0).double()]
            before = sums.get(modality, [torch.zeros_like(x) for x in found])
            sums[modality] = [a + b for a, b in zip(before, found, strict=True)]
    share = (n_cells or n_seen) / max(n_seen, 1)
    return {m: _posterior(a, share * t_f, prior_precision) for m, (a, t_f) in sums.items()}


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
