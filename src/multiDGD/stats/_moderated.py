"""Differences between groups of samples, with variances moderated over many quantities."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import t as student_t

from ._shrinkage import shrink_variances

# Variances do not depend on counts here: a constant, large count has no effect.
_NO_COUNT = 1e6


class ModeratedDifference(NamedTuple):
    """Differences between the means of two groups, shape ``(n,)`` each.

    Attributes
    ----------
    difference
        Mean of the first group minus that of the second.
    lower, upper
        Limits of its interval.
    p_value
        Two-sided p-value of no difference.
    """

    difference: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    p_value: np.ndarray


def moderated_difference(
    values_ns: np.ndarray, is_first: np.ndarray, level: float = 0.95
) -> ModeratedDifference:
    """Compare n quantities between two groups of samples by moderated t-tests.

    The variance of each quantity within the groups is shrunk towards that of all
    (:func:`shrink_variances`), which adds degrees of freedom (Smyth, 2004).

    Parameters
    ----------
    values_ns
        Value of each quantity in each sample, shape ``(n, s)``.
    is_first
        Mask of the samples in the first group; all others are in the second.
    level
        Coverage of the interval.

    Raises
    ------
    ValueError
        If a group has fewer than two samples.

    Examples
    --------
    >>> import numpy as np
    >>> from multiDGD.stats import moderated_difference
    >>> values = np.array([[3.0, 3.1, 1.0, 1.2], [0.1, 0.0, 0.2, 0.1]])
    >>> found = moderated_difference(values, np.array([True, True, False, False]))
    >>> found.difference.round(2)
    array([ 1.95, -0.1 ])
    """
    is_first = np.asarray(is_first, dtype=bool)
    first_ns, second_ns = values_ns[:, is_first], values_ns[:, ~is_first]
    n1, n2 = first_ns.shape[1], second_ns.shape[1]
    if min(n1, n2) < 2:
        raise ValueError("`is_first` must mark at least two samples and leave at least two.")
    difference_n = first_ns.mean(1) - second_ns.mean(1)
    squares = [np.square(x - x.mean(1, keepdims=True)).sum(1) for x in (first_ns, second_ns)]
    variance_n = (squares[0] + squares[1]) / (n1 + n2 - 2)
    moderated_n, df = shrink_variances(
        variance_n, n1 + n2 - 2, np.full(len(variance_n), _NO_COUNT), variance_n > 0
    )
    error_n = np.sqrt(moderated_n * (1 / n1 + 1 / n2))
    half_n = student_t.ppf((1 + level) / 2, df) * error_n
    return ModeratedDifference(
        difference_n,
        difference_n - half_n,
        difference_n + half_n,
        2 * student_t.sf(np.abs(difference_n) / error_n, df),
    )
