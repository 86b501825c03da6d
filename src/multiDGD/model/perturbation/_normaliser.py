"""Normalisers of log means, and their approximations."""

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

    def around(self, hidden_nh: Tensor) -> ApproximateNormaliser:
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
        return ApproximateNormaliser(hidden_nh, torch.cat(values), slope, torch.zeros_like(slope))

    def _parts(self, hidden_nh: Tensor) -> tuple[Tensor, ...]:
        return hidden_nh.split(max(1, _LOGITS // self.output.out_features))

    def _value(self, logits_nf: Tensor) -> Tensor:
        return logits_nf[:, 0] - self.mean_function.log_shares(logits_nf)[:, 0]


class ApproximateNormaliser(NamedTuple):
    """Quadratic approximation of the normaliser of each cell.

    Attributes
    ----------
    hidden
        Input of the output layer at the reference, shape ``(n, h)``.
    value
        Normaliser at the reference, shape ``(n,)``.
    slope
        Derivatives with respect to the input, shape ``(n, h)``.
    root
        The second derivatives are products of these, shape ``(n, h)``.
    """

    hidden: Tensor
    value: Tensor
    slope: Tensor
    root: Tensor

    def take(self, cells: Tensor | slice) -> ApproximateNormaliser:
        """Approximations of some cells."""
        return ApproximateNormaliser(*(x[cells] for x in self))

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
        step = hidden - near.hidden
        return near.value + (step * near.slope).sum(1) + 0.5 * (step * near.root).sum(1).square()

    def curved(self, former: ApproximateNormaliser) -> ApproximateNormaliser:
        """With the curvature that explains the difference between the slopes of two references.

        Parameters
        ----------
        former
            Approximations around other inputs.
        """
        change = self.slope - former.slope
        # Not negative, because the logarithm of a sum of exponentials is convex.
        product = (change * (self.hidden - former.hidden)).sum(1, keepdim=True)
        root = torch.where(product > 0, change / product.clamp(min=1e-12).sqrt(), 0)
        return self._replace(root=root)
