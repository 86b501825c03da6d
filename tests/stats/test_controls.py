import numpy as np

from multiDGD.stats import empirical_p_values, matched_controls


def test_controls_have_similar_means():
    mean = np.linspace(1, 100, 100)
    rng = np.random.default_rng(0)
    controls = matched_controls(mean, np.array([10, 90]), 5, rng)
    assert controls.shape == (5, 2)
    assert not np.isin(controls, [10, 90]).any()
    assert (np.abs(controls - [10, 90]) < 20).all()
    assert matched_controls(mean[:4], np.array([0]), 20, rng).shape == (3, 1)


def test_empirical_p_values():
    controls = np.array([[1.0, -3.0], [2.0, 0.0], [-0.5, 1.0]])
    np.testing.assert_allclose(empirical_p_values(np.array([-1.5, 0.5]), controls), [2 / 4, 3 / 4])
