"""Regression of the residuals of decoded means, for cells without a modality."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from multiDGD._record import Record

# Candidates for the penalty, compared on held-out cells. The kernel of a point with itself is 1.
_PENALTIES = np.logspace(-1.5, 3, 7)
# Eigenvalues of the anchors' kernel below this fraction of the largest are noise.
_MIN_EIGENVALUE = 1e-6


class RegressionCells(NamedTuple):
    """Regressors, counts and decoded means of cells.

    Attributes
    ----------
    x
        Regressors, shape ``(n, p)``.
    seen
        Logarithm of 1 + counts, shape ``(n, f)``.
    decoded
        Logarithm of 1 + decoded means, shape ``(n, f)``.
    average
        Logarithm of 1 + means decoded at the average of all covariates, shape ``(n, f)``.
    """

    x: Tensor
    seen: Tensor
    decoded: Tensor
    average: Tensor


@dataclass(frozen=True)
class ResidualRegression(Record):
    r"""Decoded means, shrunk towards the counts of training cells with similar regressors.

    A representation inferred without a modality differs from one inferred with it. It is shrunk
    towards the centre if the other modalities are uninformative, and the decoder ignores its
    uncertainty. Let :math:`\ell_j` be the logarithm of 1 + the decoded mean, and
    :math:`\bar\ell_j` the same at the average of all covariates. The corrected mean
    :math:`\hat x_j` is given by

    .. math::
        \log(1 + \hat x_j / c_j) = \ell_j + s\,(k_j(x) - \bar\ell_j)

    where k is a kernel ridge regression of :math:`\log(1 + x_j) - \ell_j + \bar\ell_j` on the
    regressors x (Gaussian kernel, Nyström approximation). It is fitted to training cells whose
    representations are inferred without the modality. The factors c preserve the total counts of
    the training cells. The share s and the penalty are optimal for held-out cells.

    Attributes
    ----------
    features
        Positions of the f corrected features.
    anchors
        Regressors of the anchor cells, shape ``(a, p)``.
    scale
        Scale of the kernel along each dimension, shape ``(p,)``.
    root
        Map from kernels with the anchors to q uncorrelated inputs, shape ``(a, q)``.
    centre
        Mean of the inputs, shape ``(q,)``.
    weight, offset
        Coefficients of the regression, shapes ``(q, f)`` and ``(f,)``.
    factor
        c, shape ``(f,)``.
    share
        s, between 0 and 1.
    scatter
        Variance of log means between cells with the same regressors, beyond the variance of the
        likelihood, shape ``(f,)``. :func:`fit_residual_regression` sets it to 0.
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
            Regressors, shape ``(n, p)``. Missing values (NaN) are replaced by the mean of the
            anchors.
        decoded_nf, average_nf
            As in :class:`RegressionCells`.
        """
        inputs = _kernel(x_np, self.anchors, self.scale) @ self.root - self.centre
        predicted = torch.addmm(self.offset, inputs, self.weight)
        # Counts cannot be negative.
        mixed = (decoded_nf + self.share * (predicted - average_nf)).clamp(min=0)
        return (self.factor * mixed.expm1()).log1p()

    def corrected(self, x_np: Tensor, decoded_nf: Tensor, average_nf: Tensor) -> Tensor:
        """Decoded means of all features, corrected by :meth:`log1p_mean` for ``self.features``.

        Parameters
        ----------
        x_np
            Regressors, shape ``(n, p)``.
        decoded_nf, average_nf
            As in :class:`RegressionCells`, for all features of the modality.

        Returns
        -------
        Logarithm of 1 + mean counts, shape ``(n, n_features)``.
        """
        corrected_nf, at = decoded_nf.clone(), self.features
        corrected_nf[:, at] = self.log1p_mean(x_np, decoded_nf[:, at], average_nf[:, at])
        return corrected_nf


def fit_residual_regression(
    features: Tensor,
    x_np: Tensor,
    scale: Tensor,
    anchors: np.ndarray,
    training: Callable[[], Iterator[RegressionCells]],
    held_out: Callable[[], Iterator[RegressionCells]],
) -> ResidualRegression | None:
    """Fit a correction of decoded means to training cells, and validate it on held-out cells.

    Parameters
    ----------
    features
        As in :class:`ResidualRegression`. The cells have counts and means of these features only.
    x_np
        Regressors of the training cells in order, shape ``(n, p)``.
    scale
        As in :class:`ResidualRegression`.
    anchors
        Positions of the anchors among the training cells.
    training, held_out
        Functions that return a new iterator over minibatches of the cells at each call.

    Returns
    -------
    The fitted regression; `None` if it does not improve the prediction of held-out cells.
    """
    anchors_ap = _fill_missing(x_np, x_np)[anchors]
    value, vector = torch.linalg.eigh(_kernel(anchors_ap, anchors_ap, scale).double())
    kept = value > _MIN_EIGENVALUE * value[-1]
    root = vector[:, kept] / value[kept].sqrt()
    centre = (_kernel(x_np, anchors_ap, scale).double() @ root).mean(0)

    def inputs(x: Tensor) -> Tensor:
        return _kernel(x, anchors_ap, scale).double() @ root - centre

    zero = torch.zeros((), dtype=torch.float64)
    gram, cross, total_average, total_residual, total_count = zero, zero, zero, zero, zero
    for cells in training():
        x, average = inputs(cells.x), cells.average.double()
        residual = (cells.seen - cells.decoded).double()
        gram, cross = gram + x.T @ x, cross + x.T @ (residual + average)
        total_average = total_average + average.sum(0)
        total_residual = total_residual + residual.sum(0)
        total_count = total_count + cells.seen.double().expm1().sum(0)
    offset, bias = total_average / len(x_np), total_residual / len(x_np)
    eigenvalues, basis = torch.linalg.eigh(gram)
    eigenvalues, cross = eigenvalues.clamp(min=0), basis.T @ cross

    # With a share s, the regression reduces the squared error by 2 s agreement - s^2 size.
    penalties = torch.from_numpy(_PENALTIES)
    agreement, size = torch.zeros(2, len(penalties), dtype=torch.float64)
    for cells in held_out():
        x = inputs(cells.x) @ basis
        residual = (cells.seen - cells.decoded).double() - bias
        for i, penalty in enumerate(penalties):
            correction = (x / (eigenvalues + penalty)) @ cross + offset - cells.average
            agreement[i] += (residual * correction).sum()
            size[i] += correction.square().sum()
    share = (agreement / size.clamp(min=1e-30)).clamp(0, 1)
    gain = 2 * share * agreement - share.square() * size
    best = int(gain.argmax())
    if not gain[best] > 0:
        return None
    regression = ResidualRegression(
        features=features,
        anchors=anchors_ap,
        scale=scale,
        root=(root @ basis).float(),
        centre=(centre @ basis).float(),
        weight=(cross / (eigenvalues + penalties[best])[:, None]).float(),
        offset=offset.float(),
        factor=torch.ones_like(offset, dtype=torch.float32),
        share=float(share[best]),
        scatter=torch.zeros_like(offset, dtype=torch.float32),
    )
    expected = torch.zeros((), dtype=torch.float64)
    for cells in training():
        log1p = regression.log1p_mean(cells.x, cells.decoded, cells.average)
        expected = expected + log1p.double().expm1().sum(0)
    return replace(regression, factor=((total_count + 1) / (expected + 1)).float())


def _fill_missing(x_np: Tensor, reference_ap: Tensor) -> Tensor:
    """Regressors with missing values (NaN) replaced by the mean of the reference."""
    return torch.where(x_np.isnan(), reference_ap.nanmean(0).nan_to_num(), x_np)


def _kernel(x_np: Tensor, anchors_ap: Tensor, scale: Tensor) -> Tensor:
    """Gaussian kernel, shape ``(n, a)``."""
    distance = torch.cdist(_fill_missing(x_np, anchors_ap) / scale, anchors_ap / scale)
    return (-distance.square() / (2 * anchors_ap.shape[1])).exp()
