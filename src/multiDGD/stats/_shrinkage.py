"""Shrinkage of variances and correlations estimated from few observations."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import brentq, nnls
from scipy.special import digamma, polygamma
from sklearn.covariance import ledoit_wolf_shrinkage

# Degrees of freedom above which a variance is practically exact.
_MAX_DF = 1e6
_N_REWEIGHTINGS = 10


def shrink_variances(
    variances: np.ndarray, df: int, counts: np.ndarray, known: np.ndarray
) -> tuple[np.ndarray, float]:
    r"""Moderated variances :math:`(d_0 s_{0j}^2 + d s_j^2) / (d_0 + d)`.

    The prior variance of a feature with :math:`c_j` counts is :math:`s_{0j}^2 = a + b c_j`, with
    the variances a within and :math:`b c_j` between samples. Its weight :math:`d_0` is in degrees
    of freedom. The ratios :math:`s_j^2 / s_{0j}^2` have a scaled F distribution, whose
    parameters are estimated from the moments of their logarithms (Smyth, Stat Appl Genet Mol Biol
    3:3, 2004).

    Parameters
    ----------
    variances
        Positive variance of each feature relative to a Poisson count, shape ``(f,)``.
    df
        Degrees of freedom of each variance.
    counts
        Total count of each feature, shape ``(f,)``.
    known
        Mask of the features with enough counts; the others get the prior variance.

    Returns
    -------
    The variances, shape ``(f,)``, and their degrees of freedom :math:`d_0 + d`. The latter are
    infinite if the sampling error explains all differences from the prior variance.

    Examples
    --------
    >>> import numpy as np
    >>> shrink_variances(np.array([1.0, 1.1, 0.9]), 4, np.full(3, 50.0), np.ones(3, bool))[1]
    inf
    """
    if known.sum() < 2:
        mean = float(variances[known].mean()) if known.any() else 1.0
        return np.full_like(variances, mean), math.inf
    prior = _trend(variances[known], counts[known], counts)
    scale, prior_df = _scaled_f(variances[known] / prior[known], df)
    prior *= scale
    if math.isinf(prior_df):
        return prior, math.inf
    moderated = (prior_df * prior + df * variances) / (prior_df + df)
    return np.where(known, moderated, prior), prior_df + df


def _trend(variances: np.ndarray, counts: np.ndarray, at: np.ndarray) -> np.ndarray:
    """``a + b counts`` at given counts, by least squares with errors proportional to the trend."""
    terms = np.stack([np.ones_like(counts), counts], axis=1)
    fitted = np.full_like(variances, variances.mean())
    coefficients = np.array([variances.mean(), 0.0])
    for _ in range(_N_REWEIGHTINGS):
        coefficients, _ = nnls(terms / fitted[:, None], variances / fitted)
        fitted = np.maximum(terms @ coefficients, np.finfo(float).tiny)
    return np.maximum(coefficients[0] + coefficients[1] * at, np.finfo(float).tiny)


def _scaled_f(ratios: np.ndarray, df: int) -> tuple[float, float]:
    """Scale and second degrees of freedom of an F distribution, by the method of moments.

    The degrees of freedom are infinite if the sampling error explains the variance of the ratios.
    """
    logs = np.log(ratios) - digamma(df / 2) + math.log(df / 2)
    excess = float(logs.var(ddof=1) - polygamma(1, df / 2))
    if excess <= polygamma(1, _MAX_DF / 2):
        return float(np.exp(logs.mean())), math.inf
    half = brentq(lambda x: polygamma(1, x) - excess, 1e-6, _MAX_DF)
    return float(np.exp(logs.mean() + digamma(half) - math.log(half))), 2 * half


def shrunk_correlation(x_nl: np.ndarray) -> np.ndarray:
    """Correlation matrix of centred columns, shrunk towards the identity.

    The shrinkage is that of Ledoit and Wolf (2004). It is at least that of one additional
    uncorrelated observation, because few observations always have high correlations.

    Parameters
    ----------
    x_nl
        Centred observations, shape ``(n, L)``.

    Returns
    -------
    Positive definite matrix, shape ``(L, L)``.

    Examples
    --------
    >>> import numpy as np
    >>> bool(shrunk_correlation(np.array([[1.0, 1.0], [-1.0, -1.0]]))[0, 1] < 1)
    True
    """
    deviation = np.sqrt((x_nl**2).mean(0))
    x_nl = x_nl / np.where(deviation > 0, deviation, 1)
    shrinkage = 1 / (1 + len(x_nl))
    if len(x_nl) > 1:
        shrinkage = max(shrinkage, ledoit_wolf_shrinkage(x_nl, assume_centered=True))
    correlation = (1 - shrinkage) * (x_nl.T @ x_nl / len(x_nl)) + shrinkage * np.eye(x_nl.shape[1])
    np.fill_diagonal(correlation, 1)
    return correlation
