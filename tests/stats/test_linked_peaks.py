"""Sums of single effects and residuals against closed forms and sampled truth."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from multiDGD.stats import (
    Evidence,
    ResidualEvidence,
    SharedFluctuation,
    StandardisedResiduals,
    contact_prior,
    link_peaks,
    single_effects,
)

VARIANCES = (0.1, 0.3, 0.8)
NOISE = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0)


def test_one_effect_has_the_exact_posterior():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 4)) @ rng.normal(size=(4, 4))
    x /= np.sqrt((x**2).mean(0))
    y = 0.3 * x[:, 1] + 0.6 * rng.normal(size=30)
    y /= np.sqrt((y**2).mean())
    prior = np.array([0.1, 0.2, 0.3, 0.15])
    found = single_effects(x.T @ y / 30, x.T @ x / 30, 30, prior, n_effects=1)

    def density(spread):
        """Marginal likelihood of y, averaged over the variance of the noise."""
        return np.mean([multivariate_normal.pdf(y, cov=s * np.eye(30) + spread) for s in NOISE])

    of_variable = [
        np.mean([density(v * np.outer(x[:, j], x[:, j])) for v in VARIANCES]) for j in range(4)
    ]
    weight = prior * of_variable
    none = (1 - prior.sum()) * density(0)
    np.testing.assert_allclose(found.probability, weight / (weight.sum() + none), rtol=1e-6)


def test_further_evidence_is_that_of_more_observations():
    """A regression with known unit noise, added to one with hardly any observations."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 3))
    y = 0.8 * x[:, 1] + rng.normal(size=50)
    prior = np.array([0.1, 0.2, 0.3])
    evidence = Evidence(x.T @ x, x.T @ y)
    found = single_effects(np.zeros(3), np.eye(3), 1e-9, prior, 1, evidence)

    def density(spread):
        return multivariate_normal.pdf(y, cov=np.eye(50) + spread)

    weight = prior * [
        np.mean([density(v * np.outer(x[:, j], x[:, j])) for v in VARIANCES]) for j in range(3)
    ]
    expected = weight / (weight.sum() + (1 - prior.sum()) * density(0))
    np.testing.assert_allclose(found.probability, expected, rtol=1e-5)
    # The mean of a normal posterior, over the variances of the effect.
    precision, score = (x[:, 1] ** 2).sum(), x[:, 1] @ y
    low, high = (score / (precision + 1 / v) for v in (VARIANCES[0], VARIANCES[-1]))
    assert low < found.effect[1] / found.probability[1] < high


def test_without_evidence_the_prior_remains():
    prior = np.array([0.3, 0.1])
    one = single_effects(np.zeros(2), np.eye(2), 1e-9, prior, n_effects=1)
    np.testing.assert_allclose(one.probability, prior, rtol=1e-6)
    three = link_peaks(np.zeros(2), np.eye(2), 1e-9, prior)
    np.testing.assert_allclose(three.probability, 1 - (1 - prior) ** 3, rtol=1e-6)


def test_contact_prior():
    prior = contact_prior(np.array([0.0, 5_000.0, -15_000.0]))
    np.testing.assert_allclose(prior / prior[0], [1, 1 / 2, 1 / 4])
    assert prior.sum() == pytest.approx(1 / 3)


def test_neighbour_of_a_linked_peak_has_a_high_correlation_and_a_low_probability():
    peaks = np.array([[1.0, 0.8, 0.1], [0.8, 1.0, 0.1], [0.1, 0.1, 1.0]])
    gene = peaks @ [0.8, 0.0, 0.5]
    assert gene[1] > gene[2]
    found = link_peaks(gene, peaks, 60, np.full(3, 0.1))
    assert found.probability[0] > 0.95
    assert found.probability[2] > 0.8
    assert found.probability[1] < 0.15
    assert found.effect[0] > 0.5 > abs(found.effect[1])


def test_residuals_resolve_peaks_with_the_same_mean():
    """Two peaks with nearly the same correlations differ by their fluctuations."""
    peaks = np.array([[1.0, 0.98], [0.98, 1.0]])
    gene = np.array([0.7, 0.7])
    alone = link_peaks(gene, peaks, 10, np.full(2, 0.15))
    assert abs(alone.probability[0] - alone.probability[1]) < 0.01
    fluctuation = np.array([[1.0, 0.6], [0.6, 1.0]])
    weight = np.full(2, 0.1)
    evidence = ResidualEvidence(weight * (fluctuation @ [0.7, 0.0]), weight, 20_000)
    both = link_peaks(gene, fluctuation, 10, np.full(2, 0.15), evidence)
    assert both.probability[0] > 0.95
    assert both.probability[1] < 0.3


def test_probabilities_are_calibrated():
    """Loci are drawn from the model. Probabilities are not too high; some are too low."""
    rng = np.random.default_rng(1)
    m, p = 60, 6
    prior = np.full(p, 1 / 3 / p)
    probability, is_linked = [], []
    for _ in range(800):
        x = 0.8 * rng.normal(size=(m, 1)) + 0.6 * rng.normal(size=(m, p))
        x /= np.sqrt((x**2).mean(0))
        own = 0.0
        while own <= 0.05:
            effect = np.zeros(p)
            for j in rng.integers(p, size=rng.binomial(3, 1 / 3)):
                effect[j] += np.sqrt(rng.choice(VARIANCES)) * rng.normal()
            own = 1 - ((x @ effect) ** 2).mean()
        y = x @ effect + np.sqrt(own) * rng.normal(size=m)
        y /= np.sqrt((y**2).mean())
        found = link_peaks(x.T @ y / m, x.T @ x / m, m, prior)
        probability.append(found.probability)
        is_linked.append(effect != 0)
    probability, is_linked = np.concatenate(probability), np.concatenate(is_linked)
    for low, high in ((0, 0.15), (0.15, 0.4), (0.4, 0.8), (0.8, 1)):
        here = (probability >= low) & (probability <= high)
        assert -0.05 < is_linked[here].mean() - probability[here].mean() < 0.25


def test_standardised_residuals():
    rng = np.random.default_rng(0)
    mean = rng.gamma(2, 0.5, (4000, 2))
    # A dispersion of 0.5 in the second feature, and decoded means that are too low by half.
    rate = np.column_stack([mean[:, 0], mean[:, 1] * rng.gamma(2, 0.5, 4000)])
    found = StandardisedResiduals.of(rng.poisson(rate).astype(float), mean / 2)
    np.testing.assert_allclose(found.value.mean(0), 0, atol=0.06)
    np.testing.assert_allclose(found.value.var(0), 1, atol=0.1)
    variance = mean + [0, 0.5] * mean**2
    np.testing.assert_allclose(found.gain, np.sqrt((mean**2 / variance).mean(0)), rtol=0.05)
    empty = StandardisedResiduals.of(np.zeros((5, 1)), np.zeros((5, 1)))
    assert (empty.value == 0).all()
    assert empty.gain == 0


def test_shared_fluctuation_is_the_slope_among_neighbours_beyond_others():
    rng = np.random.default_rng(0)
    expected = rng.normal(size=(40, 40))
    near = np.add.outer(np.arange(40) // 5, -(np.arange(40) // 5)) == 0
    residual = np.where(near, 0.3, 0.1) * expected + 5 * np.eye(40)
    found = SharedFluctuation.of(residual, expected, near)
    assert found.far == pytest.approx(0.1)
    assert found.near == pytest.approx(0.2)
    assert SharedFluctuation.of(-residual, expected, near).near == 0
    assert SharedFluctuation.of(residual, expected, np.zeros_like(near)).near == 0
