"""Normalisers of log means, and their linear approximations."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from multiDGD.nn import MeanFunction

# Maximum number of logits in memory at once.
_LOGITS = 2**22


class Normaliser:
    """Difference between the logits of a cell and its log means, the same for all features.

    For shares of a total, it is the logarithm of the sum of exponentials of all logits.

    Parameters
    ----------
    output
        Output layer of a modality with f features.
    mean_function
        Function of the logits that returns means.
    """

    def __init__(self, output: nn.Linear, mean_function: MeanFunction) -> None:
        self.output = output
        self.mean_function = mean_function

    def __call__(self, hidden_nh: Tensor) -> Tensor:
        """Exact value, shape ``(n,)``.

        Parameters
        ----------
        hidden_nh
            Inputs of the output layer, shape ``(n, h)``.
        """
        return torch.cat([self._value(self.output(part)) for part in self._parts(hidden_nh)])

    def around(self, hidden_nh: Tensor) -> LinearNormaliser:
        """Linear approximation around the given inputs.

        Parameters
        ----------
        hidden_nh
            Inputs of the output layer, shape ``(n, h)``.
        """
        values, slopes = [], []
        for part in self._parts(hidden_nh):
            logits = self.output(part)
            values.append(self._value(logits))
            slopes.append(self.mean_function.slope(self.mean_function.shares(logits)))
        slope = torch.cat([x @ self.output.weight for x in slopes])
        return LinearNormaliser(hidden_nh, torch.cat(values), slope)

    def _parts(self, hidden_nh: Tensor) -> tuple[Tensor, ...]:
        return hidden_nh.split(max(1, _LOGITS // self.output.out_features))

    def _value(self, logits_nf: Tensor) -> Tensor:
        return logits_nf[:, 0] - self.mean_function.log_shares(logits_nf)[:, 0]


class LinearNormaliser(NamedTuple):
    """Linear approximation of the normaliser of each cell.

    Attributes
    ----------
    hidden
        Input of the output layer at the reference, shape ``(n, h)``.
    value
        Normaliser at the reference, shape ``(n,)``.
    slope
        Derivatives with respect to the input, shape ``(n, h)``.
    """

    hidden: Tensor
    value: Tensor
    slope: Tensor

    def take(self, cells: Tensor | slice) -> LinearNormaliser:
        """Approximations of some cells."""
        return LinearNormaliser(self.hidden[cells], self.value[cells], self.slope[cells])

    def at(self, cells: Tensor | slice, hidden: Tensor) -> Tensor:
        """Approximate normalisers of some cells at other inputs.

        Parameters
        ----------
        cells
            Indices of the cells.
        hidden
            Their inputs, shape ``(cells, h)``.
        """
        near = self.take(cells)
        return near.value + ((hidden - near.hidden) * near.slope).sum(1)
