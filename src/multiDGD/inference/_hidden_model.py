"""Model of negative log posteriors that is quadratic in the inputs of the output layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from multiDGD.module import MultiDGDModule, take_cells

from ._curvature import Curvature


@dataclass
class Expansion:
    """Log-likelihoods of the wide modalities around given inputs of their output layers.

    Attributes
    ----------
    loss
        Negative log-likelihood (nats), summed over the modalities, shape ``(n,)``.
    hidden, gradient
        Inputs of the output layer of each modality, and the derivatives with respect to them,
        shape ``(n, h)`` each.
    """

    loss: Tensor
    hidden: dict[str, Tensor]
    gradient: dict[str, Tensor]

    def put(self, rows: Tensor, other: Expansion, rows_of_other: Tensor) -> None:
        """Replace the given cells by cells of another expansion."""
        self.loss[rows] = other.loss[rows_of_other]
        for modality in self.hidden:
            self.hidden[modality][rows] = other.hidden[modality][rows_of_other]
            self.gradient[modality][rows] = other.gradient[modality][rows_of_other]

    @staticmethod
    def concatenate(parts: list[Expansion]) -> Expansion:
        """Concatenate the cells of several expansions."""
        modalities = parts[0].hidden
        return Expansion(
            torch.cat([p.loss for p in parts]),
            {m: torch.cat([p.hidden[m] for p in parts]) for m in modalities},
            {m: torch.cat([p.gradient[m] for p in parts]) for m in modalities},
        )


def wide_modalities(module: MultiDGDModule) -> list[str]:
    """Modalities whose likelihood a :class:`HiddenModel` replaces by a quadratic form.

    These have more features than inputs of their output layer, or else the form would not be
    cheaper, and no local optima of their own.
    """
    return [
        m
        for m in module.modalities
        if module.likelihood(m).n_features > module.decoder.head(m).output.in_features
        and module.likelihood(m).surrogate() is module.likelihood(m)
    ]


def expand(
    module: MultiDGDModule, batch: dict[str, Any], representation: Tensor, wide: Sequence[str]
) -> Expansion:
    """Evaluate the log-likelihoods of the wide modalities and their derivatives.

    Parameters
    ----------
    module
        A module whose parameters need no gradient.
    batch
        A minibatch of n cells.
    representation
        Shape ``(n, n_representation)``.
    wide
        Names of the modalities.
    """
    loss = representation.new_zeros(len(representation))
    hidden, gradient = {}, {}
    with torch.no_grad():
        latent = module.decoder_input(representation, batch["continuous"])
        inputs = module.decoder.hidden(latent, wide)
    for modality, input_nh in inputs.items():
        likelihood, layer = module.likelihood(modality), module.decoder.head(modality).output
        with torch.enable_grad():
            leaf = input_nh.detach().requires_grad_()
            log_prob = likelihood.linear_log_prob(
                leaf, layer, batch["counts"][modality], module.workspace
            )
            (slope,) = torch.autograd.grad(log_prob.sum(), leaf)
        loss = loss - log_prob.detach()
        hidden[modality], gradient[modality] = leaf.detach(), -slope
    return Expansion(loss, hidden, gradient)


class HiddenModel:
    r"""Model of the negative log posteriors of n cells around an :class:`Expansion`.

    The log-likelihood of a modality depends on a representation only through the inputs
    :math:`h` of its output layer. In wide modalities the model replaces it by

    .. math::
        g^\top (h - h_0) + \tfrac{\lambda}{2} (h - h_0)^\top I\, (h - h_0),

    with the gradient g at :math:`h_0` and the Fisher information I of an average cell of the same
    library size. The layers before, the prior and the other modalities are exact. The layers
    before contain the kinks of the posterior, which quadratic models in the representation lack.

    Parameters
    ----------
    module, curvature
        The module and its curvature, which has I.
    batch
        A minibatch of n cells.
    expansion
        Expansion of these cells.

    Attributes
    ----------
    expansion
        The expansion, which may change between the calls.
    damping
        The factors :math:`\lambda`, initially 1, shape ``(n,)``.
    """

    def __init__(
        self,
        module: MultiDGDModule,
        curvature: Curvature,
        batch: dict[str, Any],
        expansion: Expansion,
    ) -> None:
        self.expansion = expansion
        self.damping = torch.ones_like(expansion.loss)
        self._module = module
        self._curvature = curvature
        self._library = {m: batch["counts"][m].library for m in expansion.hidden}
        self._mixture_weight = module.mixture_weights(batch["counts"])
        self._narrow = [m for m in module.modalities if m not in expansion.hidden]
        # Subsets of the counts of wide modalities would be copied in vain.
        self._batch = {**batch, "counts": {m: batch["counts"][m] for m in self._narrow}}

    def __call__(self, rows: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        """Losses of some cells (nats), without those of the expansion, and their gradients.

        Parameters
        ----------
        rows
            Indices of b cells, shape ``(b,)``.
        w
            Representations, shape ``(b, n_representation)``.
        """
        with torch.enable_grad():
            leaf = w.detach().requires_grad_()
            part = take_cells(self._batch, rows)
            latent = self._module.decoder_input(leaf, part["continuous"])
            hidden = self._module.decoder.hidden(latent)
            loss = self.of_wide(rows, hidden) - self._log_prior(rows, part, leaf)
            for modality in self._narrow:
                loss = loss - self._module.likelihood(modality).linear_log_prob(
                    hidden[modality],
                    self._module.decoder.head(modality).output,
                    part["counts"][modality],
                    self._module.workspace,
                )
            (gradient,) = torch.autograd.grad(loss.sum(), leaf)
        return loss.detach(), gradient

    def of_wide(self, rows: Tensor, hidden: Mapping[str, Tensor]) -> Tensor:
        """Modelled change of the loss of the wide modalities (nats), shape ``(b,)``.

        Parameters
        ----------
        rows
            Indices of b cells, shape ``(b,)``.
        hidden
            Inputs of the output layers, shape ``(b, h)`` each.
        """
        damping_b1 = self.damping[rows, None]
        loss = torch.zeros_like(damping_b1[:, 0])
        for modality, hidden_nh in self.expansion.hidden.items():
            step_bh = hidden[modality] - hidden_nh[rows]
            library_b = self._library[modality][rows]
            product_bh = self._curvature.times_information(modality, library_b, step_bh)
            slope_bh = self.expansion.gradient[modality][rows] + 0.5 * damping_b1 * product_bh
            loss = loss + (slope_bh * step_bh).sum(1)
        return loss

    def _log_prior(self, rows: Tensor, part: dict[str, Any], w: Tensor) -> Tensor:
        terms = self._module.latent_log_prob(w, part["labels"], part["covariates"])
        total = self._mixture_weight[rows] * terms.pop("mixture")
        for log_prob in terms.values():
            total = total + log_prob
        return total
