"""Proportions of groups of samples: exact posteriors, null simulations and power."""

import numpy as np
import pytest
from scipy.special import expit, logsumexp
from scipy.stats import betabinom, ttest_ind

from multiDGD.stats import compare_proportions
from multiDGD.stats._beta_binomial import _DEVIATIONS, _PRIOR_WIDTHS

FIRST = np.array([True, True, True, False, False, False])


def simulate(rng, shares, n_cells=600, deviation=0.3, increase=1.0):
    """Counts of six samples; the odds of the first label are higher in the first three."""
    weights = shares * rng.lognormal(0, deviation, (6, len(shares)))
    weights[FIRST, 0] *= increase
    return np.stack([rng.multinomial(n_cells, w / w.sum()) for w in weights])


def exact(counts):
    """Mean and sign of the log odds ratio by numerical integration over scipy's distribution."""
    x = np.linspace(-9, 5, 4001)
    p = expit(x)
    total = counts.sum(1)
    mean = (counts.sum(0) + 0.5) / (total.sum() + 1)
    n_labels, n_deviations = counts.shape[1], len(_DEVIATIONS)
    evidence = np.zeros((n_labels, n_deviations))
    difference, above = np.zeros((2, n_labels, n_deviations))
    for j in range(n_labels):
        for r, deviation in enumerate(_DEVIATIONS):
            precision = 1 / (deviation**2 * mean[j] * (1 - mean[j])) - 1
            density, expected = [], []
            for group in (FIRST, ~FIRST):
                log = 0.5 * np.log(p * (1 - p))
                for y, n in zip(counts[group, j], total[group], strict=True):
                    log = log + betabinom.logpmf(y, n, p * precision, (1 - p) * precision)
                evidence[j, r] += logsumexp(log)
                density.append(np.exp(log - logsumexp(log)))
                expected.append(density[-1] @ x)
            difference[j, r] = expected[0] - expected[1]
            above[j, r] = density[0] @ (np.cumsum(density[1]) - density[1] / 2)
    log_r = np.log(_DEVIATIONS)
    prior = np.stack(
        [-0.5 * ((log_r - centre) / width) ** 2 for width in _PRIOR_WIDTHS for centre in log_r]
    )
    prior -= logsumexp(prior, axis=1, keepdims=True)
    by_label = logsumexp(prior[:, None] + evidence, axis=2)
    hyper = by_label.sum(1)
    hyper = np.exp(hyper - logsumexp(hyper))
    joint = np.exp(prior[:, None] + evidence - by_label[..., None])
    weight = np.einsum("h,hjr->jr", hyper, joint)
    above = (weight * above).sum(1)
    return (weight * difference).sum(1), 2 * np.minimum(above, 1 - above)


def test_posterior_agrees_with_numerical_integration():
    counts = simulate(np.random.default_rng(0), np.array([0.5, 0.3, 0.15, 0.05]), increase=1.6)
    found = compare_proportions(counts, FIRST)
    difference, p_value = exact(counts)
    np.testing.assert_allclose(found.log_odds_ratio, difference, atol=0.02)
    np.testing.assert_allclose(found.p_value, p_value, atol=0.02)
    assert found.p_value[0] < 0.05


def test_without_variation_between_samples_the_error_is_binomial():
    counts = np.tile([400, 600], (6, 1))
    counts[FIRST] = [500, 500]
    found = compare_proportions(counts, FIRST)
    expected = np.log((1500.5 / 1500.5) / (1200.5 / 1800.5))
    error = np.sqrt(2 / 1500.5 + 1 / 1200.5 + 1 / 1800.5)
    np.testing.assert_allclose(found.log_odds_ratio[0], expected, rtol=0.01)
    half = (found.upper[0] - found.lower[0]) / 2
    assert 1 <= half / (1.96 * error) < 1.3


@pytest.mark.parametrize("deviation", [0.0, 0.3])
def test_null_p_values_are_calibrated(deviation):
    rng = np.random.default_rng(1)
    found, coverage = [], []
    for _ in range(120):
        counts = simulate(rng, rng.dirichlet(np.ones(8)), deviation=deviation)
        table = compare_proportions(counts, FIRST, level=0.9)
        found.append(table.p_value)
        coverage.append((table.lower < 0) & (table.upper > 0))
    p_value = np.concatenate(found)
    assert 0.01 < (p_value < 0.05).mean() < 0.07
    assert (p_value < 0.01).mean() < 0.02
    assert 0.87 < np.concatenate(coverage).mean() < 0.97


def test_power_exceeds_that_of_single_t_tests():
    rng = np.random.default_rng(2)
    shares = np.array([0.2, 0.2, 0.15, 0.15, 0.1, 0.1, 0.05, 0.05])
    called = np.zeros(2)
    for _ in range(60):
        counts = simulate(rng, shares, increase=2.0)
        called[0] += compare_proportions(counts, FIRST).p_value[0] < 0.05
        log_odds = np.log((counts[:, 0] + 0.5) / (counts.sum(1) - counts[:, 0] + 0.5))
        called[1] += ttest_ind(log_odds[FIRST], log_odds[~FIRST]).pvalue < 0.05
    assert called[0] > 1.2 * called[1]


def test_groups_are_exchangeable():
    counts = simulate(np.random.default_rng(3), np.array([0.5, 0.3, 0.2]))
    one, other = compare_proportions(counts, FIRST), compare_proportions(counts, ~FIRST)
    np.testing.assert_allclose(one.log_odds_ratio, -other.log_odds_ratio, atol=1e-6)
    np.testing.assert_allclose(one.lower, -other.upper, atol=1e-6)
    np.testing.assert_allclose(one.p_value, other.p_value, atol=1e-6)


def test_a_label_of_one_group_only_has_a_finite_estimate():
    counts = np.array([[0, 300], [0, 280], [0, 310], [30, 250], [25, 270], [28, 300]])
    found = compare_proportions(counts, FIRST)
    assert np.isfinite([found.lower[0], found.upper[0]]).all()
    assert found.upper[0] < -1
    assert found.p_value[0] < 1e-3


def test_estimates_of_millions_of_cells_are_finite():
    counts = np.array([[10, 2_000_000], [0, 1_000_000], [5, 900_000], [900_000, 100_000]])
    found = compare_proportions(counts, np.array([True, True, False, False]))
    for values in vars(found).values():
        assert np.isfinite(values).all()
    assert (found.lower < found.log_odds_ratio).all()
    assert (found.log_odds_ratio < found.upper).all()


@pytest.mark.parametrize(
    ("counts", "first", "message"),
    [
        (np.ones((3, 2)), [True, False, False], "at least two samples"),
        (np.ones((4, 1)), [True, True, False, False], "at least two labels"),
        (np.eye(4)[:, :2], [True, True, False, False], "samples without cells"),
    ],
)
def test_errors(counts, first, message):
    with pytest.raises(ValueError, match=message):
        compare_proportions(counts, np.array(first))
