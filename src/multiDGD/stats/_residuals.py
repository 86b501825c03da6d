"""Residuals of counts, and how their covariance depends on that of the decoded means."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class StandardisedResiduals(NamedTuple):
    """Residuals of counts with a variance of 1.

    Attributes
    ----------
    value
        Residuals, shape ``(n, f)``.
    gain
        Change of the residual for a change of the log mean, root mean square over cells, shape
        ``(f,)``.
    """

    value: np.ndarray
    gain: np.ndarray

    @classmethod
    def of(cls, counts_nf: np.ndarray, mean_nf: np.ndarray) -> StandardisedResiduals:
        r"""Standardise :math:`x - \mu` by the variance :math:`\mu + \phi \mu^2`.

        Means are scaled to the total count of each feature, and the dispersion :math:`\phi` is
        estimated by moments.

        Parameters
        ----------
        counts_nf, mean_nf
            Counts and decoded means, shape ``(n, f)``.
        """
        total_f = mean_nf.sum(0)
        mean_nf = mean_nf * np.divide(
            counts_nf.sum(0), total_f, out=np.zeros_like(total_f), where=total_f > 0
        )
        left_nf = counts_nf - mean_nf
        square_f = (mean_nf**2).sum(0)
        excess_f = (left_nf**2 - mean_nf).sum(0)
        phi_f = np.divide(excess_f, square_f, out=np.zeros_like(total_f), where=square_f > 0)
        variance_nf = mean_nf + np.maximum(phi_f, 0) * mean_nf**2
        is_positive = variance_nf > 0
        sd_nf = np.sqrt(variance_nf, where=is_positive, out=np.ones_like(variance_nf))
        return cls(
            left_nf / sd_nf, np.sqrt(((mean_nf / sd_nf) ** 2).sum(0) / max(len(mean_nf), 1))
        )


class SharedFluctuation(NamedTuple):
    r"""Covariance of residuals per unit of the covariance of decoded log means.

    Peaks that vary together over the population also fluctuate together within single cells. The
    covariance of the residuals of two features is modelled by :math:`\kappa g_1 g_2 C_{12}` with
    the gains g and the covariance C of their log means.

    Attributes
    ----------
    near
        :math:`\kappa` of neighbours on the genome beyond ``far``; at least 0.
    far
        :math:`\kappa` of other features. It is variation of the population that the decoder
        missed, and 0 for a perfect decoder.
    """

    near: float
    far: float

    @classmethod
    def of(
        cls, residual_pp: np.ndarray, expected_pp: np.ndarray, near_pp: np.ndarray
    ) -> SharedFluctuation:
        r"""Estimate :math:`\kappa` by least squares over pairs of different features.

        Parameters
        ----------
        residual_pp
            Covariances of standardised residuals, shape ``(p, p)``.
        expected_pp
            :math:`g_1 g_2 C_{12}`, shape ``(p, p)``.
        near_pp
            Whether two features are neighbours, shape ``(p, p)``.
        """
        is_pair = ~np.eye(len(near_pp), dtype=bool)
        near, far = (
            _slope(expected_pp[mask & is_pair], residual_pp[mask & is_pair])
            for mask in (near_pp, ~near_pp)
        )
        return cls(max(near - far, 0.0), far)


def _slope(x: np.ndarray, y: np.ndarray) -> float:
    square = float(x @ x)
    return float(x @ y) / square if square > 0 else 0.0
