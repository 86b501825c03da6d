"""Random division of the molecules of each cell into two parts."""

from __future__ import annotations

import numpy as np


def split_counts(
    counts: np.ndarray,
    fraction: float,
    generator: np.random.Generator,
    dispersion: np.ndarray | None = None,
) -> np.ndarray:
    r"""Draw the part of each count that goes to the first of two parts.

    By default every molecule goes to the first part with probability ``fraction`` (binomial
    thinning). The parts of a Poisson count are then independent. The parts of a negative binomial
    count are independent if the probability varies from count to count as
    :math:`\mathrm{Beta}(\epsilon r, (1 - \epsilon) r)`: the Dirichlet-multinomial thinning of
    Neufeld et al. (arXiv:2307.12985).

    Parameters
    ----------
    counts
        Counts, of any shape.
    fraction
        Expected share :math:`\epsilon` of the first part.
    generator
        Random generator.
    dispersion
        Dispersion r of each count, in the shape of ``counts``; binomial thinning without it.

    Returns
    -------
    Counts of the first part, in the shape of ``counts``.

    Examples
    --------
    >>> import numpy as np
    >>> split_counts(np.array([4, 0]), 0.5, np.random.default_rng(0)).shape
    (2,)
    """
    share: float | np.ndarray = fraction
    if dispersion is not None:
        share = generator.beta(fraction * dispersion, (1 - fraction) * dispersion)
    return generator.binomial(np.asarray(counts).astype(np.int64), share)
