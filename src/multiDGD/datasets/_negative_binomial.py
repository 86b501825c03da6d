"""Sparse negative binomial counts from dense means."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

# Above this mean, inverting the distribution function count by count is slower than a gamma-Poisson
# draw, and the probability of a zero may underflow.
_LARGE_MEAN = 30.0


def sample_negative_binomial(
    mean: NDArray[np.float32], inverse_dispersion: float, rng: np.random.Generator
) -> csr_matrix:
    """Draw ``NB(mean, r)`` counts with variance ``mean + mean**2 / r``.

    Each entry is drawn by inversion of a uniform number. Most numbers fall below the probability of
    a zero and need no inversion, so the cost is about one pass over the means.

    Parameters
    ----------
    mean
        Expected counts of shape ``(n_cells, n_features)``.
    inverse_dispersion
        Inverse dispersion ``r``, positive.
    rng
        Random generator.

    Returns
    -------
    scipy.sparse.csr_matrix
        Counts as float32.

    Examples
    --------
    >>> import numpy as np
    >>> mean = np.full((2, 3), 1.5, dtype=np.float32)
    >>> sample_negative_binomial(mean, 2.0, np.random.default_rng(0)).shape
    (2, 3)
    """
    r = np.float32(inverse_dispersion)
    uniform = rng.random(mean.shape, dtype=np.float32)
    is_positive = uniform > np.exp(-r * np.log1p(mean / r))
    is_positive |= mean > _LARGE_MEAN
    rows, columns = np.nonzero(is_positive)
    positive_mean = mean[rows, columns].astype(np.float64)
    counts = np.empty(len(rows))
    large = positive_mean > _LARGE_MEAN
    rates = rng.gamma(inverse_dispersion, positive_mean[large] / inverse_dispersion)
    counts[large] = rng.poisson(rates)
    counts[~large] = _invert(
        uniform[rows, columns][~large].astype(np.float64),
        positive_mean[~large],
        float(inverse_dispersion),
    )
    sampled = csr_matrix((counts.astype(np.float32), (rows, columns)), shape=mean.shape)
    sampled.eliminate_zeros()
    return sampled


def _invert(
    uniform: NDArray[np.float64], mean: NDArray[np.float64], r: float
) -> NDArray[np.float64]:
    """Smallest counts with a distribution function of at least ``uniform``."""
    ratio = mean / (r + mean)
    pmf = np.exp(-r * np.log1p(mean / r))
    cdf = pmf.copy()
    counts = np.zeros(len(mean))
    active = np.flatnonzero(uniform > cdf)
    count = 0
    while active.size:
        pmf[active] *= ratio[active] * (r + count) / (count + 1)
        cdf[active] += pmf[active]
        count += 1
        counts[active] = count
        active = active[uniform[active] > cdf[active]]
    return counts
