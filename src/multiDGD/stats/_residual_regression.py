"""What cells at a place have counted, beside what the decoder says that they would."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from multiDGD._record import Record

# Penalties that held-out cells choose from. The kernel of a place with itself is 1.
_PENALTIES = np.logspace(-1.5, 3, 7)
# Directions in which the anchors' kernel is smaller than this part of its largest are noise.
_MIN_EIGENVALUE = 1e-6


class RegressionCells(NamedTuple):
    """Where cells lie, what they have counted and what the decoder says.

    Attributes
    ----------
    x
        Places, shape ``(n, p)``.
    seen
        Logarithm of 1 + counts, shape ``(n, f)``.
    decoded
        Logarithm of 1 + decoded means, shape ``(n, f)``.
    average
        The same at the average of all covariates.
    """

    x: Tensor
    seen: Tensor
    decoded: Tensor
    average: Tensor


@dataclass(frozen=True)
class ResidualRegression(Record):
    r"""The decoder's answer, drawn towards what cells at the same place have counted.

    Cells that are placed without a modality lie elsewhere than with it, less far out the less the
    others tell about it, and the decoder takes the place for exact. With :math:`\ell_j` the
    logarithm of 1 + its mean and :math:`\bar\ell_j` the same at the average of all covariates,

    .. math::
        \log(1 + \hat x_j / c_j) = \ell_j + s\,(k_j(x) - \bar\ell_j)

    where k is a kernel ridge regression of :math:`\log(1 + x_j) - \ell_j + \bar\ell_j` on places
    x of training cells that were found without the modality (Gaussian kernel, Nyström
    approximation), c makes totals those of the training cells, and s and the penalty are what
    explains cells best that were held out from training.

    Attributes
    ----------
    features
        Positions of the f features that are corrected.
    anchors
        Places of some cells, shape ``(a, p)``.
    scale
        Of the kernel along each dimension, shape ``(p,)``.
    root
        From kernels with the anchors to q uncorrelated inputs, shape ``(a, q)``.
    centre
        Mean of these, shape ``(q,)``.
    weight, offset
        Of the regression, shapes ``(q, f)`` and ``(f,)``.
    factor
        c, shape ``(f,)``.
    share
        s, between 0 and 1.
    scatter
        Variance of log means that cells at one place have beyond their counts', shape ``(f,)``; 0
        until something else has learned it.
    """

    features: Tensor
    anchors: Tensor
    scale: Tensor
    root: Tensor
    centre: Tensor
    weight: Tensor
    offset: Tensor
    factor: Tensor
    share: float
    scatter: Tensor

    def log1p_mean(self, x_np: Tensor, decoded_nf: Tensor, average_nf: Tensor) -> Tensor:
        """Logarithm of 1 + mean counts of the corrected features, shape ``(n, f)``.

        Parameters
        ----------
        x_np
            Places, shape ``(n, p)``; the anchors' mean is taken where they are not known (NaN).
        decoded_nf, average_nf
            As in :class:`RegressionCells`.
        """
        inputs = _kernel(x_np, self.anchors, self.scale) @ self.root - self.centre
        there = torch.addmm(self.offset, inputs, self.weight)
        # Below 0 there is no count.
        mixed = (decoded_nf + self.share * (there - average_nf)).clamp(min=0)
        return (self.factor * mixed.expm1()).log1p()

    def corrected(self, x_np: Tensor, decoded_nf: Tensor, average_nf: Tensor) -> Tensor:
        """:meth:`log1p_mean` within all features of the modality, of which the others stay as decoded.

        Parameters
        ----------
        x_np
            Places, shape ``(n, p)``.
        decoded_nf, average_nf
            As in :class:`RegressionCells`, for all features of the modality.
        """
        found, at = decoded_nf.clone(), self.features
        found[:, at] = self.log1p_mean(x_np, decoded_nf[:, at], average_nf[:, at])
        return found


def fit_residual_regression(
    features: Tensor,
    x_np: Tensor,
    scale: Tensor,
    anchors: np.ndarray,
    training: Callable[[], Iterator[RegressionCells]],
    held_out: Callable[[], Iterator[RegressionCells]],
) -> ResidualRegression | None:
    """Learn what the decoder misses, as far as it holds for cells that were held out.

    Parameters
    ----------
    features
        As in :class:`ResidualRegression`; the cells are given with these alone.
    x_np
        Places of the training cells, in their order, shape ``(n, p)``.
    scale
        As in :class:`ResidualRegression`.
    anchors
        Positions of the anchors among the training cells.
    training, held_out
        Give the cells some at a time, anew at each call.

    Returns
    -------
    `None` if it explains the held-out cells no better than the decoder alone.
    """
    places = _known(x_np, x_np)[anchors]
    value, vector = torch.linalg.eigh(_kernel(places, places, scale).double())
    kept = value > _MIN_EIGENVALUE * value[-1]
    root = vector[:, kept] / value[kept].sqrt()
    centre = (_kernel(x_np, places, scale).double() @ root).mean(0)

    def inputs(x: Tensor) -> Tensor:
        return _kernel(x, places, scale).double() @ root - centre

    gram, cross, total, missed, counted = (torch.zeros((), dtype=torch.float64) for _ in range(5))
    for cells in training():
        here, average = inputs(cells.x), cells.average.double()
        difference = (cells.seen - cells.decoded).double()
        gram, cross = gram + here.T @ here, cross + here.T @ (difference + average)
        total, missed = total + average.sum(0), missed + difference.sum(0)
        counted = counted + cells.seen.double().expm1().sum(0)
    offset, bias = total / len(x_np), missed / len(x_np)
    spread, basis = torch.linalg.eigh(gram)
    spread, cross = spread.clamp(min=0), basis.T @ cross

    # A share s of the regression explains 2 s (agreement) - s^2 (size) more.
    penalties = torch.from_numpy(_PENALTIES)
    agreement, size = torch.zeros(2, len(penalties), dtype=torch.float64)
    for cells in held_out():
        here = inputs(cells.x) @ basis
        missed = (cells.seen - cells.decoded).double() - bias
        for number, penalty in enumerate(penalties):
            there = (here / (spread + penalty)) @ cross + offset - cells.average
            agreement[number] += (missed * there).sum()
            size[number] += there.square().sum()
    share = (agreement / size.clamp(min=1e-30)).clamp(0, 1)
    gain = 2 * share * agreement - share.square() * size
    best = int(gain.argmax())
    if not gain[best] > 0:
        return None
    found = ResidualRegression(
        features=features,
        anchors=places,
        scale=scale,
        root=(root @ basis).float(),
        centre=(centre @ basis).float(),
        weight=(cross / (spread + penalties[best])[:, None]).float(),
        offset=offset.float(),
        factor=torch.ones_like(offset, dtype=torch.float32),
        share=float(share[best]),
        scatter=torch.zeros_like(offset, dtype=torch.float32),
    )
    expected = torch.zeros((), dtype=torch.float64)
    for cells in training():
        log1p = found.log1p_mean(cells.x, cells.decoded, cells.average)
        expected = expected + log1p.double().expm1().sum(0)
    return replace(found, factor=((counted + 1) / (expected + 1)).float())


def _known(x_np: Tensor, among_ap: Tensor) -> Tensor:
    """Places with what is not known of them (NaN) at the average of other places."""
    return torch.where(x_np.isnan(), among_ap.nanmean(0).nan_to_num(), x_np)


def _kernel(x_np: Tensor, anchors_ap: Tensor, scale: Tensor) -> Tensor:
    """Gaussian kernel, shape ``(n, a)``."""
    distance = torch.cdist(_known(x_np, anchors_ap) / scale, anchors_ap / scale)
    return (-distance.square() / (2 * anchors_ap.shape[1])).exp()
