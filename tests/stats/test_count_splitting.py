"""Splits of counts against their distributions."""

import numpy as np
import pytest
from scipy import stats

from multiDGD.stats import split_counts

N = 40_000


@pytest.mark.parametrize("fraction", [0.2, 0.5])
def test_binomial_parts_of_poisson_counts_are_independent_poisson(fraction):
    rng = np.random.default_rng(0)
    counts = rng.poisson(6.0, N)
    first = split_counts(counts, fraction, rng)
    second = counts - first
    assert first.mean() == pytest.approx(6 * fraction, rel=0.02)
    assert first.var() == pytest.approx(6 * fraction, rel=0.04)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.02


def test_dirichlet_multinomial_parts_of_negative_binomial_counts_are_independent():
    rng = np.random.default_rng(0)
    r, mean = 2.0, 6.0
    counts = rng.negative_binomial(r, r / (r + mean), N)
    first = split_counts(counts, 0.5, rng, np.full(N, r))
    second = counts - first
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.02
    # Each part is a negative binomial with half the mean and half the dispersion.
    expected = stats.nbinom(r / 2, r / (r + mean))
    values = np.arange(8)
    found = np.array([(second == v).mean() for v in values])
    np.testing.assert_allclose(found, expected.pmf(values), atol=0.01)
    # Binomial parts of the same counts share the rate of the cell.
    binomial = split_counts(counts, 0.5, rng)
    assert np.corrcoef(binomial, counts - binomial)[0, 1] > 0.5


def test_molecules_are_kept():
    rng = np.random.default_rng(0)
    counts = np.array([[0.0, 1.0, 500.0], [3.0, 0.0, 2.0]], dtype=np.float32)
    for dispersion in (None, np.full(counts.shape, 0.5)):
        first = split_counts(counts, 0.3, rng, dispersion)
        assert first.shape == counts.shape
        assert (first >= 0).all() and (first <= counts).all()
