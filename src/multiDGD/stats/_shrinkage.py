"""Shrinkage of variances and correlations estimated from few observations."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import brentq, lsq_linear
from scipy.special import digamma, polygamma
from sklearn.covariance import ledoit_wolf_shrinkage

# Degrees of freedom above which a variance is practically exact.
_MAX_DF = 1e6
_N_REWEIGHTINGS = 10
# Counts below which the variance is mostly that of the likelihood.
_FEW_COUNTS = 10.0
#: Counts below which a variance relative to them is meaningless.
LEAST_COUNT = 0.5


def shrink_variances(
    variances: np.ndarray,
    df: float | np.ndarray,
    counts: np.ndarray,
    known: np.ndarray,
    max_prior_df: float = math.inf,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Moderated variances :math:`(d_{0j} s_{0j}^2 + d_j s_j^2) / (d_{0j} + d_j)`.

    The prior variance of a feature with :math:`c_j` counts is :math:`s_{0j}^2 = a + b c_j`, with
    the variances a within and :math:`b c_j` between samples or cells. Its weight
    :math:`d_{0j} = d_0 ((c_j + 10) / c_j)^2` is in degrees of freedom: the variance of few counts
    is close to that of the likelihood, whatever the feature. The ratios :math:`s_j^2 / s_{0j}^2`
    have scaled F distributions, whose parameters are estimated from the moments of their
    logarithms (Smyth, Stat Appl Genet Mol Biol 3:3, 2004).

    Parameters
    ----------
    variances
        Variance of each feature relative to a Poisson count, shape ``(f,)``; positive where known.
    df
        Degrees of freedom of the variances, one for all or shape ``(f,)``.
    counts
        Total count of each feature, shape ``(f,)``.
    known
        Mask of the features with enough counts for the estimation of :math:`d_0`.
    max_prior_df
        Largest :math:`d_0`. Variances that are correlated between features determine the prior
        variance less well than independent ones.

    Returns
    -------
    The variances and their degrees of freedom :math:`d_{0j} + d_j`, shape ``(f,)`` each. The
    latter are infinite if the sampling error explains all differences from the prior variance.

    Examples
    --------
    >>> import numpy as np
    >>> shrink_variances(np.array([1.0, 1.1, 0.9]), 4, np.full(3, 50.0), np.ones(3, bool))[1]
    array([inf, inf, inf])
    """
    df = np.broadcast_to(np.asarray(df, dtype=float), variances.shape)
    weight = np.square(1 + _FEW_COUNTS / np.maximum(counts, LEAST_COUNT))
    if known.sum() < 2:
        mean = float(variances[known].mean()) if known.any() else 1.0
        return np.full_like(variances, mean), max_prior_df * weight
    seen = counts > LEAST_COUNT
    prior = _trend(variances[seen], counts[seen], df[seen], counts)
    scale, prior_df = _scaled_f(variances[known] / prior[known], df[known], weight[known])
    prior *= scale ** (1 / weight)
    prior_df = min(prior_df, max_prior_df)
    if math.isinf(prior_df):
        return prior, np.full_like(variances, math.inf)
    prior_df_f, df_f = prior_df * weight, np.where(seen, df, 0)
    share = df_f / (prior_df_f + df_f)
    return prior + share * (np.where(seen, variances, prior) - prior), prior_df_f + df_f


def _trend(
    variances: np.ndarray, counts: np.ndarray, df: np.ndarray, at: np.ndarray
) -> np.ndarray:
    """``a + b counts`` at given counts, by least squares with errors proportional to the trend."""
    terms = np.stack([np.ones_like(counts), counts], axis=1)
    fitted = np.full_like(variances, np.average(variances, weights=df))
    coefficients = np.array([fitted[0], 0.0])
    for _ in range(_N_REWEIGHTINGS):
        weight = np.sqrt(df) / fitted
        a, b = terms * weight[:, None], variances * weight
        # `nnls` of scipy 1.12 does not converge if the columns of `a` have different scales.
        coefficients = lsq_linear(a, b, bounds=(0, np.inf), method="bvls").x
        fitted = np.maximum(terms @ coefficients, np.finfo(float).tiny)
    return np.maximum(coefficients[0] + coefficients[1] * at, np.finfo(float).tiny)


def _scaled_f(ratios: np.ndarray, df: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Scale and second degrees of freedom of F distributions, by the method of moments.

    The scale of each ratio is the returned one to the power of ``1 / weight``, and its second
    degrees of freedom are the returned ones times ``weight``. They are infinite if the sampling
    error explains the variance of the ratios.
    """
    logs = np.log(ratios) - digamma(df / 2) + np.log(df / 2)
    excess = float(logs.var(ddof=1) - polygamma(1, df / 2).mean())
    if excess <= polygamma(1, _MAX_DF / 2):
        half = math.inf
    else:
        half = brentq(lambda x: polygamma(1, x * weight).mean() - excess, 1e-6, _MAX_DF)
        logs = logs + digamma(half * weight) - np.log(half * weight)
    return float(np.exp(np.sum(logs / weight) / np.sum(1 / weight**2))), 2 * half


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
