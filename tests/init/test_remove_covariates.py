"""Removal of shifts between the categories of a covariate."""

import numpy as np
import pytest

from multiDGD.init import remove_covariates


@pytest.fixture(scope="module")
def shifted():
    """Four groups of cells in two batches, one of which is shifted; batch codes, true positions."""
    rng = np.random.default_rng(0)
    n = 45_000  # more than one part
    group, batch = rng.integers(4, size=n), rng.integers(2, size=n)
    truth = 8 * np.eye(4, 5)[group] + rng.normal(size=(n, 5))
    shift = np.array([0.0, 1.0, 0.0, -1.0, 2.0])
    return truth + batch[:, None] * shift, batch, truth


def test_the_shift_is_removed_and_groups_stay(shifted):
    z, batch, truth = shifted
    centre = z.mean(0)
    found = remove_covariates(z, [batch], np.ones(len(z), bool), centre=centre)
    change = found - truth
    before = np.linalg.norm(z[batch == 1].mean(0) - z[batch == 0].mean(0))
    after = np.linalg.norm(found[batch == 1].mean(0) - found[batch == 0].mean(0))
    # The penalty of half of the expected cells shrinks each shift by a third.
    assert before > 2 and after == pytest.approx(before / 3, rel=0.05)
    assert all(change[batch == b].std(0).max() < 0.1 for b in range(2))


def test_centre_and_precision(shifted):
    z, batch, _ = shifted
    fit = np.arange(len(z)) % 3 > 0
    centre = z[fit].mean(0)
    expected = remove_covariates(z - centre, [batch], fit)
    np.testing.assert_allclose(
        remove_covariates(z, [batch], fit, centre=centre), expected + centre, atol=1e-12
    )
    single = z.astype(np.float32)
    found = remove_covariates(single, [batch], fit, centre=centre)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected + centre, atol=1e-4)
    np.testing.assert_array_equal(single, z.astype(np.float32))  # the argument is unchanged


def test_cells_are_corrected_one_by_one(shifted):
    z, batch, _ = shifted
    fit = np.zeros(len(z), bool)
    fit[:3_000] = True
    z = z - z[fit].mean(0)
    whole = remove_covariates(z, [batch], fit)
    part = remove_covariates(z[:3_500], [batch[:3_500]], fit[:3_500])
    np.testing.assert_allclose(part, whole[:3_500], atol=1e-10)


@pytest.mark.parametrize("codes", [np.zeros(50), np.full(50, -1), np.arange(50) // 45])
def test_nothing_to_remove(codes):
    z = np.random.default_rng(0).normal(size=(50, 3))
    assert remove_covariates(z, [codes.astype(int)], np.ones(50, bool)) is z
