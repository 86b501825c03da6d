"""Probability that a peak is linked to a gene, given the peaks around it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ._single_effects import Evidence, SingleEffects, single_effects

# Expected number of linked peaks of a gene, divided among the largest number.
_EXPECTED_LINKS = 1.0
_MAX_LINKS = 3
# Contact probability falls with the inverse of the distance beyond this number of base pairs.
_CONTACT_SCALE = 5_000.0


class ResidualEvidence(NamedTuple):
    r"""Covariance of the residuals of a gene's counts with those of p peaks.

    Attributes
    ----------
    covariance
        Means over cells of the products of standardised residuals, shape ``(p,)``.
    weight
        Expected covariance per unit of the correlation that links explain, shape ``(p,)``.
    n_cells
        Number of cells. The variance of each covariance is its inverse.
    """

    covariance: np.ndarray
    weight: np.ndarray
    n_cells: int


def contact_prior(distance_p: np.ndarray) -> np.ndarray:
    r"""Prior probability of a link for each of at most three linked peaks of a gene.

    It is proportional to :math:`1 / (d + 5\,\text{kb})` for the distance d, as contacts of
    chromatin are (Fulco et al., 2019). The expected number of linked peaks is 1.

    Parameters
    ----------
    distance_p
        Distances of the peaks from the gene (base pairs), shape ``(p,)``.

    Examples
    --------
    >>> import numpy as np
    >>> contact_prior(np.array([0.0, -5_000.0])).round(3).tolist()
    [0.222, 0.111]
    """
    weight_p = 1 / (np.abs(distance_p) + _CONTACT_SCALE)
    return weight_p / weight_p.sum() * _EXPECTED_LINKS / _MAX_LINKS


def link_peaks(
    correlation_p: np.ndarray,
    correlation_pp: np.ndarray,
    n_directions: float,
    prior_p: np.ndarray,
    residual: ResidualEvidence | None = None,
) -> SingleEffects:
    r"""Explain a gene by few of the peaks around it, which are correlated with each other.

    The gene's log mean is the sum of the log means of the linked peaks, times effects b, and of a
    part of its own. With correlations R of the peaks with each other and r with the gene,

    .. math::
        r \sim N(R b,\ \sigma^2 R / m), \qquad e \sim N(W R b,\ I / n).

    The cells vary along few directions only, so that a gene correlates with unlinked peaks: m is
    the number of these directions, however many cells there are. :math:`\sigma^2` is the share of
    the gene's own part. The residual covariances e are those of counts in the
    same n cells beyond the decoded means; W is the diagonal matrix of ``residual.weight``.

    Parameters
    ----------
    correlation_p
        r, shape ``(p,)``.
    correlation_pp
        R, shape ``(p, p)``.
    n_directions
        m.
    prior_p
        Prior probabilities, see :func:`contact_prior`.
    residual
        Evidence of the residuals, if there is any.

    Returns
    -------
    Probabilities of links and posterior means of b.

    Examples
    --------
    >>> import numpy as np
    >>> peaks = np.array([[1.0, 0.8], [0.8, 1.0]])
    >>> found = link_peaks(np.array([0.9, 0.72]), peaks, 40, np.full(2, 0.1))
    >>> bool(found.probability[0] > 0.9 and found.probability[1] < 0.2)
    True
    """
    further = None
    if residual is not None:
        weighted_pp = correlation_pp * residual.weight
        further = Evidence(
            residual.n_cells * weighted_pp @ weighted_pp.T,
            residual.n_cells * weighted_pp @ residual.covariance,
        )
    return single_effects(
        correlation_p, correlation_pp, n_directions, prior_p, _MAX_LINKS, further
    )
