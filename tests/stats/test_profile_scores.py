"""Scores of profiles against direct sums."""

import numpy as np
import pytest

from multiDGD.stats import ProfileScores


def test_scores_are_sums_over_counts():
    rng = np.random.default_rng(0)
    average = rng.dirichlet(np.ones(6))
    profiles = rng.dirichlet(np.ones(6), 30)
    counts = np.stack([rng.multinomial(40, p) for p in profiles]).astype(float)
    scores = ProfileScores(average)
    for part in (slice(0, 11), slice(11, 30)):
        here = counts[part]
        everything = np.ones(len(here), bool)
        scores.add(here, 3 * profiles[part], profiles[part], everything, np.zeros(len(here)))
    gain = counts * np.log((0.99 * profiles + 0.01 * average) / average)
    np.testing.assert_allclose(scores.cells()["decoded"], gain.sum(1) / 40)
    summary = scores.summary()
    assert summary["posterior"] == pytest.approx(gain.sum() / counts.sum())
    x, y = np.log1p(counts), np.log1p(40 * profiles)
    r = [np.corrcoef(x[:, j], y[:, j])[0, 1] for j in range(6)]
    assert summary["decoded_correlation"] == pytest.approx(np.mean(r))


def test_average_profile_scores_zero_and_unpredicted_cells_are_missing():
    average = np.array([0.5, 0.3, 0.2])
    counts = np.array([[4.0, 2.0, 1.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    scores = ProfileScores(average)
    predicted = np.array([True, True, False])
    scores.add(counts, np.tile(average, (3, 1)), np.tile(average, (3, 1)), predicted, np.ones(3))
    found = scores.cells()
    assert found["posterior"][0] == pytest.approx(0)
    for values in found.values():
        assert np.isnan(values[1:]).all()
