"""Changes under linear models, against closed forms."""

import numpy as np
import pytest

from multiDGD.stats import additive_changes, linear_changes


@pytest.fixture
def log_nf():
    rng = np.random.default_rng(0)
    return rng.normal(size=(300, 2)) @ rng.normal(size=(2, 6)) + 3


def test_linear_changes_are_conditional_means(log_nf):
    covariance = np.cov(log_nf.T)
    expected = covariance[:, 4] / covariance[4, 4] * -0.7
    np.testing.assert_allclose(linear_changes(log_nf, np.array([4]), -0.7), expected)
    both = linear_changes(log_nf, np.array([1, 4]), -0.7)
    np.testing.assert_allclose(both[[1, 4]], -0.7)


def test_few_components_remove_noise(log_nf):
    noise = np.random.default_rng(1).normal(size=log_nf.shape)
    expected = linear_changes(log_nf, np.array([4]), 1.0)
    errors = [
        np.abs(linear_changes(log_nf + 0.5 * noise, np.array([4]), 1.0, n) - expected).max()
        for n in (2, 6)
    ]
    assert errors[0] < 0.6 * errors[1]


def test_additive_changes_are_differences_of_halves(log_nf):
    found = additive_changes(log_nf, np.array([2]), 0.5)
    high = log_nf[:, 2] > np.median(log_nf[:, 2])
    difference = log_nf[high].mean(0) - log_nf[~high].mean(0)
    np.testing.assert_allclose(found, difference / difference[2] * 0.5)


@pytest.mark.parametrize("method", [additive_changes, linear_changes])
def test_constant_features_change_nothing(method):
    log_nf = np.array([[1.0, 2.0], [1.0, 3.0], [1.0, 4.0]])
    np.testing.assert_array_equal(method(log_nf, np.array([0]), 1.0), 0)


def test_rare_features_have_a_high_group():
    """More than half of the cells have no count of the feature."""
    log_nf = np.array([[0.0, 1.0], [0.0, 1.0], [0.0, 1.0], [2.0, 5.0]])
    np.testing.assert_allclose(additive_changes(log_nf, np.array([0]), 1.0), [1, 2])
