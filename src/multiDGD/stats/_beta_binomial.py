"""Comparison of proportions between groups of samples with a beta-binomial model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import digamma, expit, gammaln, logit, logsumexp, ndtr, polygamma

# Standard deviations of the log odds between samples, and of their prior over labels.
_DEVIATIONS = np.geomspace(0.02, 2, 24)
_PRIOR_WIDTHS = np.array([0.25, 0.5, 1.0])
_MAX_CORRELATION = 0.9
_MIN_CURVATURE = 1e-3
_N_STEPS = 50
_N_BISECTIONS = 60


@dataclass(frozen=True)
class ProportionTest:
    r"""Log odds ratios of labels between two groups of samples.

    Attributes
    ----------
    log_odds_ratio
        Posterior mean of the log odds of each label in the first group, minus those in the second
        (nats), shape ``(j,)``.
    lower, upper
        Limits of its interval.
    p_value
        Twice the posterior probability of the less probable sign.
    deviation
        Posterior geometric mean of the standard deviation of the log odds between samples.
    """

    log_odds_ratio: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    p_value: np.ndarray
    deviation: np.ndarray


def compare_proportions(
    counts_sj: np.ndarray, is_first: np.ndarray, level: float = 0.95
) -> ProportionTest:
    r"""Compare the proportions of labels between two groups of samples.

    The number of cells with label j in sample s, of :math:`n_s` cells, has a beta-binomial
    distribution with the mean :math:`p_{gj}` of the sample's group g and the correlation
    :math:`\rho_j = \tau_j^2 \bar p_j (1 - \bar p_j)`, where :math:`\tau_j` is approximately the
    standard deviation of the log odds between samples. All labels share a log-normal prior on
    :math:`\tau_j`, whose parameters are integrated out given the counts of all labels. Few samples
    therefore suffice. The prior on :math:`p_{gj}` is Beta(1/2, 1/2), so that labels without cells
    have finite estimates. For each :math:`\tau_j` of a grid, the posterior of the log odds is
    normal around its mode (Laplace approximation); results are averages over :math:`\tau_j`.

    Parameters
    ----------
    counts_sj
        Number of cells of each sample and label, shape ``(s, j)``.
    is_first
        Mask of the samples in the first group; all others are in the second.
    level
        Probability of the interval.

    Raises
    ------
    ValueError
        If a group has fewer than two samples, a sample has no cells, or there are fewer than two
        labels.

    Examples
    --------
    >>> import numpy as np
    >>> from multiDGD.stats import compare_proportions
    >>> counts = np.array([[50, 50], [60, 40], [20, 80], [25, 75]])
    >>> found = compare_proportions(counts, np.array([True, True, False, False]))
    >>> bool(found.log_odds_ratio[0] > 1)
    True
    """
    counts_js = np.asarray(counts_sj, dtype=float).T
    is_first = np.asarray(is_first, dtype=bool)
    total_s = counts_js.sum(0)
    if min(is_first.sum(), (~is_first).sum()) < 2:
        raise ValueError("`is_first` must mark at least two samples and leave at least two.")
    if len(counts_js) < 2:
        raise ValueError("`counts_sj` must have at least two labels, found fewer.")
    if not total_s.all():
        raise ValueError("`counts_sj` has samples without cells: omit them.")
    mean_j = (counts_js.sum(1) + 0.5) / (total_s.sum() + 1)
    correlation_jr = _DEVIATIONS**2 * (mean_j * (1 - mean_j))[:, None]
    precision_jr = 1 / np.minimum(correlation_jr, _MAX_CORRELATION) - 1
    groups = (is_first, ~is_first)
    found = [_log_odds(counts_js[:, g], total_s[g], precision_jr, mean_j) for g in groups]
    (mode1, variance1, evidence1), (mode2, variance2, evidence2) = found
    weight_jr = _posterior_weights(evidence1 + evidence2)
    difference_jr, sd_jr = mode1 - mode2, np.sqrt(variance1 + variance2)
    above_j = (weight_jr * ndtr(difference_jr / sd_jr)).sum(1)
    lower, upper = (
        _quantile(weight_jr, difference_jr, sd_jr, q) for q in ((1 - level) / 2, (1 + level) / 2)
    )
    return ProportionTest(
        log_odds_ratio=(weight_jr * difference_jr).sum(1),
        lower=lower,
        upper=upper,
        p_value=np.clip(2 * np.minimum(above_j, 1 - above_j), 0, 1),
        deviation=np.exp(weight_jr @ np.log(_DEVIATIONS)),
    )


def _log_odds(
    counts_js: np.ndarray, total_s: np.ndarray, precision_jr: np.ndarray, start_j: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mode and variance of the log odds of a group, and the log evidence, shape ``(j, r)`` each.

    ``precision_jr`` is the sum of both parameters of the beta distribution.
    """
    yes, no = counts_js[:, None], (total_s - counts_js)[:, None]
    precision = precision_jr[..., None]
    x_jr = np.broadcast_to(logit(start_j)[:, None], precision_jr.shape)

    def derivatives(x_jr: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        p, q = expit(x_jr), expit(-x_jr)
        a, b = p[..., None] * precision, q[..., None] * precision
        slope = (digamma(yes + a) - digamma(a) - digamma(no + b) + digamma(b)).sum(-1)
        bend = polygamma(1, yes + a) - polygamma(1, a) + polygamma(1, no + b) - polygamma(1, b)
        scale = p * q * precision_jr
        first = scale * slope + 0.5 * (q - p)
        second = scale**2 * bend.sum(-1) + scale * (q - p) * slope - p * q
        return first, np.maximum(-second, _MIN_CURVATURE)

    for _ in range(_N_STEPS):
        slope_jr, curvature_jr = derivatives(x_jr)
        step_jr = np.clip(slope_jr / curvature_jr, -1, 1)
        x_jr = x_jr + step_jr
        if np.abs(step_jr).max() < 1e-8:
            break
    variance_jr = 1 / derivatives(x_jr)[1]
    p, q = expit(x_jr), expit(-x_jr)
    a, b = p[..., None] * precision, q[..., None] * precision
    log_jr = (gammaln(yes + a) - gammaln(a) + gammaln(no + b) - gammaln(b)).sum(-1) + (
        gammaln(precision) - gammaln(total_s + precision)
    ).sum(-1)
    log_prior_jr = 0.5 * np.log(p * q)
    return x_jr, variance_jr, log_jr + log_prior_jr + 0.5 * np.log(variance_jr)


def _posterior_weights(evidence_jr: np.ndarray) -> np.ndarray:
    """Posterior of each label's deviation on the grid, with the prior of all labels."""
    log_r = np.log(_DEVIATIONS)
    prior_hr = -0.5 * ((log_r - log_r[:, None]) / _PRIOR_WIDTHS[:, None, None]) ** 2
    prior_hr = prior_hr.reshape(-1, len(log_r))
    prior_hr -= logsumexp(prior_hr, axis=1, keepdims=True)
    joint_hjr = prior_hr[:, None] + evidence_jr
    evidence_hj = logsumexp(joint_hjr, axis=2)
    evidence_h = evidence_hj.sum(1)
    weight_h = np.exp(evidence_h - logsumexp(evidence_h))
    return np.einsum("h,hjr->jr", weight_h, np.exp(joint_hjr - evidence_hj[..., None]))


def _quantile(
    weight_jr: np.ndarray, mean_jr: np.ndarray, sd_jr: np.ndarray, probability: float
) -> np.ndarray:
    """Quantile of mixtures of normal distributions, by bisection, shape ``(j,)``."""
    low, high = (mean_jr - 10 * sd_jr).min(1), (mean_jr + 10 * sd_jr).max(1)
    for _ in range(_N_BISECTIONS):
        middle = (low + high) / 2
        is_low = (weight_jr * ndtr((middle[:, None] - mean_jr) / sd_jr)).sum(1) < probability
        low, high = np.where(is_low, middle, low), np.where(is_low, high, middle)
    return (low + high) / 2
