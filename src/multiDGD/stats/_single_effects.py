"""Sum of single effects: which of several correlated variables explain an outcome."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# Squared correlations that an effect may explain; a priori equally probable.
_EXPLAINED = np.array([0.1, 0.3, 0.8])
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


def single_effects(
    information_pp: np.ndarray, score_p: np.ndarray, prior_p: np.ndarray, n_effects: int = 3
) -> SingleEffects:
    r"""Explain a linear score by few variables (Wang et al., 2020, SuSiE).

    The log-likelihood of the effects b is :math:`b^\top s - b^\top I b / 2`. They are a sum of
    ``n_effects`` vectors, each of which has at most one non-zero entry. Its position is that of
    variable j with the prior probability :math:`\pi_j`, and there is none with the probability
    :math:`1 - \sum_j \pi_j`. The size is normal with mean 0. Its variance is .1, .3 or .8 with
    equal probability, so effects are expected on the scale of correlations. The posterior is
    approximated by independent vectors and found by coordinate ascent.

    Parameters
    ----------
    information_pp
        I, shape ``(p, p)``, positive semidefinite. For a linear regression with unit variance of
        the noise, it is :math:`X^\top X`.
    score_p
        s, shape ``(p,)``. For a linear regression, it is :math:`X^\top y`.
    prior_p
        :math:`\pi`, shape ``(p,)``; the sum must be below 1.
    n_effects
        Largest number of effects.

    Examples
    --------
    >>> import numpy as np
    >>> information = 50 * np.array([[1.0, 0.8], [0.8, 1.0]])
    >>> found = single_effects(information, information @ [0.7, 0.0], np.full(2, 0.25))
    >>> found.probability.round(1).tolist()
    [1.0, 0.2]
    """
    n = len(score_p)
    diagonal_p = np.diag(information_pp)
    # Ratio of the likelihoods with and without an effect, for each variance: its terms that do
    # not depend on the score, and the factor of the squared score.
    slope_vp = _EXPLAINED[:, None] / (1 + diagonal_p * _EXPLAINED[:, None])
    with np.errstate(divide="ignore"):
        log_prior_vp = np.log(prior_p / len(_EXPLAINED)) - 0.5 * np.log1p(
            diagonal_p * _EXPLAINED[:, None]
        )
    log_none = np.log1p(-prior_p.sum())
    probability_lp, effect_lp = np.zeros((2, n_effects, n))
    for _ in range(_MAX_ITERATIONS):
        before = probability_lp.copy()
        for effect in range(n_effects):
            others_p = effect_lp.sum(0) - effect_lp[effect]
            left_p = score_p - information_pp @ others_p
            log_vp = log_prior_vp + 0.5 * left_p**2 * slope_vp
            largest = max(log_vp.max(initial=log_none), log_none)
            weight_vp = np.exp(log_vp - largest)
            weight_vp /= weight_vp.sum() + np.exp(log_none - largest)
            probability_lp[effect] = weight_vp.sum(0)
            effect_lp[effect] = (weight_vp * slope_vp).sum(0) * left_p
        if np.abs(probability_lp - before).max(initial=0) < _TOLERANCE:
            break
    return SingleEffects(1 - np.prod(1 - probability_lp, axis=0), effect_lp.sum(0))
