"""Decoder from representations to the logits of each modality's features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from multiDGD._checks import positive_int


def mlp(n_in: int, widths: Sequence[int]) -> nn.Sequential:
    """Return fully connected layers with a ReLU after each.

    Parameters
    ----------
    n_in
        Width of the input.
    widths
        Width of each layer; an empty sequence gives the identity.
    """
    layers: list[nn.Module] = []
    for n_out in widths:
        layers += [nn.Linear(n_in, n_out), nn.ReLU()]
        n_in = n_out
    return nn.Sequential(*layers)


def head_width(n_features: int, n_units: int) -> int:
    """Return the published width of a last hidden layer, ``max(n_units, sqrt(features))``."""
    return max(n_units, round(n_features**0.5))


class Head(nn.Module):
    """Branch of the decoder for one modality: hidden layers, then one logit per feature.

    Parameters
    ----------
    n_in
        Width of the trunk's output.
    n_features
        Number of features f of the modality.
    widths
        Widths of the hidden layers.
    """

    def __init__(self, n_in: int, n_features: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.hidden = mlp(n_in, widths)
        self.output = nn.Linear(widths[-1] if widths else n_in, n_features)

    def forward(self, trunk_nh: Tensor) -> Tensor:
        """Return logits, shape ``(n, f)``; the likelihood converts them to mean counts."""
        return self.output(self.hidden(trunk_nh))


class Decoder(nn.Module):
    """Shared trunk and one head per modality.

    ``logits_m = head_m(trunk([z, u_1, u_2, ..., continuous covariates]))`` (Schuster et al.,
    Nature Communications 2024).

    Parameters
    ----------
    n_in
        Width of the input: latent dimensions, covariate dimensions and continuous covariates.
    n_features
        Number of features of each modality, by name.
    n_units
        Width of the hidden layers.
    n_hidden
        Number of layers of the trunk.
    n_hidden_modality
        Number of layers of a head, including its output layer. The last hidden layer is
        ``max(n_units, sqrt(features))`` wide.

    Raises
    ------
    ValueError
        If a width or a number of layers is not positive, or no modality is given.

    Examples
    --------
    >>> import torch
    >>> from multiDGD.nn import Decoder
    >>> decoder = Decoder(n_in=20, n_features={"rna": 500, "atac": 3000})
    >>> decoder(torch.zeros(8, 20))["atac"].shape
    torch.Size([8, 3000])
    """

    def __init__(
        self,
        n_in: int,
        n_features: Mapping[str, int],
        *,
        n_units: int = 100,
        n_hidden: int = 2,
        n_hidden_modality: int = 3,
    ) -> None:
        super().__init__()
        sizes = {
            "n_in": n_in,
            "n_units": n_units,
            "n_hidden": n_hidden,
            "n_hidden_modality": n_hidden_modality,
        }
        for argument, value in sizes.items():
            positive_int(argument, value)
        if not n_features:
            raise ValueError("`n_features` must name at least one modality, found none.")
        self.trunk = mlp(n_in, [n_units] * n_hidden)
        # ModuleDict rejects names with a dot and those of its methods; ModuleList needs no names.
        self.modalities = list(n_features)
        self.heads = nn.ModuleList()
        for f in n_features.values():
            widths = [n_units] * (n_hidden_modality - 1)
            if widths:
                widths[-1] = head_width(f, n_units)
            self.heads.append(Head(n_units, f, widths))

    def head(self, modality: str) -> Head:
        """Return the head of one modality."""
        return cast(Head, self.heads[self.modalities.index(modality)])

    def forward(
        self, latent_nl: Tensor, modalities: Sequence[str] | None = None
    ) -> dict[str, Tensor]:
        """Return the logits of each modality, shape ``(n, f)`` each.

        Parameters
        ----------
        latent_nl
            Decoder input, shape ``(n, n_in)``.
        modalities
            Modalities to decode; all by default.
        """
        hidden = self.hidden(latent_nl, modalities)
        return {m: self.head(m).output(x) for m, x in hidden.items()}

    def hidden(
        self, latent_nl: Tensor, modalities: Sequence[str] | None = None
    ) -> dict[str, Tensor]:
        """Return the input of each modality's output layer, shape ``(n, h)`` each.

        Parameters
        ----------
        latent_nl, modalities
            As for :meth:`forward`.
        """
        trunk = self.trunk(latent_nl)
        selected = self.modalities if modalities is None else modalities
        return {m: self.head(m).hidden(trunk) for m in selected}

    @torch.no_grad()
    def initialize_output(self, mean_proportions: Mapping[str, Tensor]) -> None:
        """Initialise the bias of each head from the average profile of its modality.

        From uniform proportions, the first epochs would be spent on learning the average, with
        gradients that displace all representations.

        Parameters
        ----------
        mean_proportions
            Proportion of each feature in the modality's counts, shape ``(f,)``, all positive.
        """
        for modality, proportions in mean_proportions.items():
            bias = self.head(modality).output.bias
            bias.copy_(proportions.to(bias).log())
