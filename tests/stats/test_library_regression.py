"""Regression of library sizes on representations."""

import numpy as np
import pytest

from multiDGD.stats import LibraryRegression, _library_regression


@pytest.fixture
def cells():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(700, 2)).astype(np.float32)
    libraries = np.exp(6 + z @ [[0.5, 1.0], [0.0, -0.5]] + 0.5 * rng.normal(size=(700, 2)))
    libraries[:200, 0] = libraries[-300:, 1] = 0
    return z, libraries


def test_moments_are_those_of_measured_cells(cells):
    z, libraries = cells
    found = LibraryRegression.fit(z, libraries, ["a", "b"])
    known = libraries > 0
    log = np.log(np.where(known, libraries, 1))
    for m in range(2):
        own = log[known[:, m], m]
        assert found.mean[4 + m] == pytest.approx(own.mean())
        assert found.scale[4 + m] == pytest.approx(own.std())
    both = known.all(1)
    x = (log - found.mean[4:]) / found.scale[4:]
    assert found.correlation[4, 5] == pytest.approx((x[both, 0] * x[both, 1]).mean())
    assert found.n_cells == 700


def test_blocks_do_not_change_the_result(cells, monkeypatch):
    whole = LibraryRegression.fit(*cells, ["a", "b"])
    monkeypatch.setattr(_library_regression, "_BLOCK", 64)
    parts = LibraryRegression.fit(*cells, ["a", "b"])
    for name in ("mean", "scale", "correlation"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-5)


def test_missing_library_sizes_are_predicted(cells):
    z, libraries = cells
    found = LibraryRegression.fit(z, libraries, ["a", "b"])
    predicted, sd = found.predict(z[:200], libraries[:200], "a")
    truth = np.exp(6 + z[:200] @ [0.5, 0.0])
    assert np.log(predicted / truth).std() < 0.15
    assert 0.4 < sd.mean() < 0.6
    known, none = found.predict(z[200:], libraries[200:], "a")
    np.testing.assert_array_equal(known, libraries[200:, 0])
    assert not none.any()


def test_a_modality_without_cells(cells):
    z, libraries = cells
    libraries[:, 1] = 0
    found = LibraryRegression.fit(z, libraries, ["a", "b"])
    assert np.isfinite(found.predict(z, libraries, "a")[0]).all()
