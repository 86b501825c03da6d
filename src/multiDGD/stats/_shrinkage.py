"""Shrinkage of variances and correlations that are estimated from few observations."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import brentq, nnls
from scipy.special import digamma, polygamma
from sklearn.covariance import ledoit_wolf_shrinkage

# Degrees of freedom from which on a variance is as good as known.
_MANY = 1e6
_N_REWEIGHTINGS = 10


def shrink_variances(
    variances: np.ndarray, df: int, counts: np.ndarray, known: np.ndarray
) -> tuple[np.ndarray, float]:
    r"""Moderated variances :math:`(d_0 s_{0j}^2 + d s_j^2) / (d_0 + d)`.

    Typical of a feature with :math:`c_j` counts is :math:`s_{0j}^2 = a + b c_j`, where a is what
    cells scatter and b what samples add. It weighs as much as :math:`d_0` degrees of freedom, those
    of the scaled F distribution that has the moments of the logarithms of :math:`s_j^2 / s_{0j}^2`
    (Smyth, Stat Appl Genet Mol Biol 3:3, 2004).

    Parameters
    ----------
    variances
        Of each feature, in units of those of a Poisson count, positive, shape ``(f,)``.
    df
        Degrees of freedom of each.
    counts
        Of each feature, shape ``(f,)``.
    known
        Mask of the features that have enough of them; others get the typical variance.

    Returns
    -------
    The variances, shape ``(f,)``, and their degrees of freedom :math:`d_0 + d`, which are infinite
    where variances scatter by chance alone.

    Examples
    --------
    >>> import numpy as np
    >>> shrink_variances(np.array([1.0, 1.1, 0.9]), 4, np.full(3, 50.0), np.ones(3, bool))[1]
    inf
    """
    if known.sum() < 2:
        mean = float(variances[known].mean()) if known.any() else 1.0
        return np.full_like(variances, mean), math.inf
    typical = _trend(variances[known], counts[known], counts)
    scale, prior_df = _scaled_f(variances[known] / typical[known], df)
    typical *= scale
    if math.isinf(prior_df):
        return typical, math.inf
    moderated = (prior_df * typical + df * variances) / (prior_df + df)
    return np.where(known, moderated, typical), prior_df + df


def _trend(variances: np.ndarray, counts: np.ndarray, at: np.ndarray) -> np.ndarray:
    """``a + b counts``, by least squares of errors in proportion to it, at given counts."""
    terms = np.stack([np.ones_like(counts), counts], axis=1)
    fitted = np.full_like(variances, variances.mean())
    coefficients = np.array([variances.mean(), 0.0])
    for _ in range(_N_REWEIGHTINGS):
        coefficients, _ = nnls(terms / fitted[:, None], variances / fitted)
        fitted = np.maximum(terms @ coefficients, np.finfo(float).tiny)
    return np.maximum(coefficients[0] + coefficients[1] * at, np.finfo(float).tiny)


def _scaled_f(ratios: np.ndarray, df: int) -> tuple[float, float]:
    """Scale and degrees of freedom; infinitely many where ratios scatter by chance alone."""
    logs = np.log(ratios) - digamma(df / 2) + math.log(df / 2)
    more = float(logs.var(ddof=1) - polygamma(1, df / 2))
    if more <= polygamma(1, _MANY / 2):
        return float(np.exp(logs.mean())), math.inf
    half = brentq(lambda x: polygamma(1, x) - more, 1e-6, _MANY)
    return float(np.exp(logs.mean() + digamma(half) - math.log(half))), 2 * half


def shrunk_correlation(x_nl: np.ndarray) -> np.ndarray:
    """Correlation matrix of centred columns, shrunk towards the identity.

    The shrinkage is that of Ledoit and Wolf (2004), and at least that of one more observation
    without correlation: few observations are always highly correlated.

    Parameters
    ----------
    x_nl
        Centred observations, shape ``(n, L)``.

    Returns
    -------
    Positive definite, shape ``(L, L)``.

    Examples
    --------
    >>> import numpy as np
    >>> shrunk_correlation(np.array([[1.0, 1.0], [-1.0, -1.0]]))[0, 1] < 1
    True
    """
    deviation = np.sqrt((x_nl**2).mean(0))
    x_nl = x_nl / np.where(deviation > 0, deviation, 1)
    shrinkage = 1 / (1 + len(x_nl))
    if len(x_nl) > 1:
        shrinkage = max(shrinkage, ledoit_wolf_shrinkage(x_nl, assume_centered=True))
    found = (1 - shrinkage) * (x_nl.T @ x_nl / len(x_nl)) + shrinkage * np.eye(x_nl.shape[1])
    np.fill_diagonal(found, 1)
    return found
