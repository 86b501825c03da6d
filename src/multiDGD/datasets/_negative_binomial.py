"""Sparse negative binomial counts from dense means, without visiting the zeros twice."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

# Above this mean, walking up the distribution function costs more than a gamma-Poisson draw, and
# the probability of a zero may underflow.
_LARGE_MEAN = 30.0


def sample_negative_binomial(
    mean: NDArray[np.float32], inverse_dispersion: float, rng: np.random.Generator
) -> csr_matrix:
    """Draw ``NB(mean, r)`` counts, of variance ``mean + mean**2 / r``.

    Every entry draws one uniform number. Most of them fall below the probability of a zero, and
    only the others are inverted into a count, so that the cost is that of one pass over the means.

    Parameters
    ----------
    mean
        Expected counts of shape ``(n_cells, n_features)``.
    inverse_dispersion
        The NB's ``r``, positive.
    rng
        Source of randomness.

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
    """Smallest counts whose distribution function reaches the uniform numbers."""
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
