"""Moderated differences: calibration, and shrinkage of variances."""

import numpy as np
import pytest
from scipy.stats import kstest, norm, ttest_ind

from multiDGD.stats import moderated_difference

FIRST = np.array([True, True, True, False, False, False])


def test_null_p_values_are_uniform_and_intervals_cover():
    rng = np.random.default_rng(0)
    variance = 4 / rng.chisquare(4, 4000)
    values = rng.normal(size=(4000, 6)) * np.sqrt(variance)[:, None]
    found = moderated_difference(values, FIRST, level=0.9)
    assert kstest(found.p_value, "uniform").pvalue > 0.01
    assert abs(((found.lower < 0) & (found.upper > 0)).mean() - 0.9) < 0.015


def test_equal_variances_give_a_normal_test():
    rng = np.random.default_rng(1)
    values = rng.normal(size=(3000, 6))
    values[0] = [3, 3, 3.1, 0, 0, 0.1]
    found = moderated_difference(values, FIRST)
    z = found.difference[0] / np.sqrt(2 / 3)
    assert found.difference[0] == pytest.approx(3.0)
    assert found.p_value[0] == pytest.approx(2 * norm.sf(z), rel=0.3)


def test_power_exceeds_that_of_single_t_tests():
    values = np.random.default_rng(2).normal(size=(500, 6))
    values[:, :3] += 2
    single = ttest_ind(values[:, :3], values[:, 3:], axis=1).pvalue < 0.05
    assert (moderated_difference(values, FIRST).p_value < 0.05).mean() > 1.2 * single.mean()


def test_identical_values_of_a_group_do_not_give_certainty():
    values = np.random.default_rng(3).normal(size=(200, 6))
    values[0] = [1, 1, 1, 0, 0, 0]
    found = moderated_difference(values, FIRST)
    assert 0.01 < found.p_value[0] < 0.6


def test_single_samples_are_refused():
    with pytest.raises(ValueError, match="at least two samples"):
        moderated_difference(np.zeros((2, 3)), np.array([True, False, False]))
