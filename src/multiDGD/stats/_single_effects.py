"""Sum of single effects: which of several correlated variables explain an outcome."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# Variances of an effect, and of the outcome that no variable explains. Their values are a priori
# equally probable.
_EFFECT_VARIANCES = np.array([0.1, 0.3, 0.8])
_NOISE_VARIANCES = np.array([0.1, 0.2, 0.4, 0.6, 0.8, 1.0])
_MAX_ITERATIONS = 200
_TOLERANCE = 1e-5


class SingleEffects(NamedTuple):
    """Posterior of the effects of p variables.

    Attributes
    ----------
    probability
        Probability that the variable has an effect, shape ``(p,)``.
    effect
        Posterior mean of the effect, shape ``(p,)``.
    """

    probability: np.ndarray
    effect: np.ndarray


class Evidence(NamedTuple):
    r"""Quadratic log-likelihood of effects b, :math:`b^\top s - b^\top I b / 2`.

    Attributes
    ----------
    information
        I, shape ``(p, p)``, positive semidefinite.
    score
        s, shape ``(p,)``.
    """

    information: np.ndarray
    score: np.ndarray


def single_effects(
    correlation_p: np.ndarray,
    correlation_pp: np.ndarray,
    n: float,
    prior_p: np.ndarray,
    n_effects: int = 3,
    further: Evidence | None = None,
) -> SingleEffects:
    r"""Explain an outcome by few of p correlated variables (Wang et al., 2020, SuSiE).

    The regression of the outcome on the variables is given by correlations, and its noise has an
    unknown variance :math:`\sigma^2`. The effects are a sum of ``n_effects`` vectors, each of
    which has at most one non-zero entry. That of variable j is non-zero with the prior
    probability :math:`\pi_j`. Its size is normal with mean 0 and unknown variance. Both variances
    are integrated out on a grid. The posterior is approximated by independent vectors and found by
    coordinate ascent; each vector has its own posterior of :math:`\sigma^2`.

    Parameters
    ----------
    correlation_p, correlation_pp
        Correlations of the variables with the outcome, shape ``(p,)``, and with each other, shape
        ``(p, p)``.
    n
        Number of independent observations.
    prior_p
        :math:`\pi`, shape ``(p,)``; the sum must be below 1.
    n_effects
        Largest number of effects.
    further
        Independent evidence about the same effects.

    Examples
    --------
    >>> import numpy as np
    >>> variables = np.array([[1.0, 0.8], [0.8, 1.0]])
    >>> found = single_effects(variables @ [0.7, 0.0], variables, 60, np.full(2, 0.1))
    >>> bool(found.probability[0] > 0.95 and found.probability[1] < 0.2)
    True
    """
    p = len(correlation_p)
    if further is None:
        further = Evidence(np.zeros((p, p)), np.zeros(p))
    noise_s = _NOISE_VARIANCES
    # Axes of the weights: variance of the noise, variance of the effect, variable.
    precision_sp = n / noise_s[:, None] * np.diag(correlation_pp) + np.diag(further.information)
    variance_v = _EFFECT_VARIANCES[:, None]
    shrunk_svp = variance_v / (1 + precision_sp[:, None] * variance_v)
    log_prior_svp = np.log(np.maximum(prior_p, 1e-300) / len(variance_v)) - 0.5 * np.log1p(
        precision_sp[:, None] * variance_v
    )
    log_none = np.log1p(-prior_p.sum())
    probability_lp, effect_lp = np.zeros((2, n_effects, p))
    for _ in range(_MAX_ITERATIONS):
        before = probability_lp.copy()
        for one in range(n_effects):
            b = effect_lp.sum(0) - effect_lp[one]
            unexplained = 1 - 2 * b @ correlation_p + b @ correlation_pp @ b
            log_noise_s = -0.5 * n * (np.log(noise_s) + max(unexplained, 0.0) / noise_s)
            score_sp = (
                n / noise_s[:, None] * (correlation_p - correlation_pp @ b)
                + further.score
                - further.information @ b
            )
            log_svp = (
                log_prior_svp
                + 0.5 * score_sp[:, None] ** 2 * shrunk_svp
                + log_noise_s[:, None, None]
            )
            log_none_s = log_none + log_noise_s
            largest = max(log_svp.max(initial=-np.inf), log_none_s.max())
            weight_svp = np.exp(log_svp - largest)
            weight_svp /= weight_svp.sum() + np.exp(log_none_s - largest).sum()
            probability_lp[one] = weight_svp.sum((0, 1))
            effect_lp[one] = (weight_svp * shrunk_svp * score_sp[:, None]).sum((0, 1))
        if np.abs(probability_lp - before).max(initial=0) < _TOLERANCE:
            break
    return SingleEffects(1 - np.prod(1 - probability_lp, axis=0), effect_lp.sum(0))
