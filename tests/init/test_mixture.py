"""Initial mixture components from clusters and classes."""

import numpy as np
import pytest

from multiDGD.init import choose_n_components, class_initialisation, cluster_initialisation


@pytest.fixture
def blobs():
    rng = np.random.default_rng(0)
    centres = 10 * rng.standard_normal((4, 6))
    types = np.repeat(np.arange(4), [200, 100, 60, 40])
    return (centres[types] + rng.standard_normal((400, 6))).astype(np.float32), types, centres


def _check(parameters, k, dims):
    means, variances, weights = parameters
    assert means.shape == variances.shape == (k, dims)
    assert weights.shape == (k,)
    assert means.dtype == variances.dtype == weights.dtype == np.float32
    assert np.isfinite(means).all()
    assert (variances > 0).all()
    assert (weights > 0).all()
    np.testing.assert_allclose(weights.sum(), 1, rtol=1e-5)


def test_clusters_are_recovered(blobs):
    z, types, centres = blobs
    means, variances, weights = parameters = cluster_initialisation(z, 4)
    _check(parameters, 4, 6)
    nearest = ((means[:, None] - centres) ** 2).sum(-1).argmin(1)
    assert sorted(nearest) == [0, 1, 2, 3]
    np.testing.assert_allclose(means, centres[nearest], atol=0.6)
    np.testing.assert_allclose(variances, 1, atol=0.5)
    np.testing.assert_allclose(weights, (np.bincount(types)[nearest] + 1) / 404, rtol=1e-4)


def test_variances_of_small_clusters_are_shrunk():
    rng = np.random.default_rng(0)
    z = np.vstack([rng.standard_normal((200, 3)), 50 + np.zeros((2, 3))])
    _, variances, weights = cluster_initialisation(z, 2)
    small = int(weights.argmin())
    np.testing.assert_allclose(variances[small], variances[1 - small] * 10 / 12, rtol=0.1)


@pytest.mark.parametrize(("n", "k"), [(3, 10), (1, 1), (1, 5), (40, 40)])
def test_more_clusters_than_cells(n, k):
    z = np.random.default_rng(0).standard_normal((n, 4))
    _check(cluster_initialisation(z, k), k, 4)


def test_identical_cells():
    _check(cluster_initialisation(np.zeros((50, 4)), 6), 6, 4)
    _check(cluster_initialisation(np.repeat(np.eye(3), 20, axis=0), 8), 8, 3)


def test_minibatch_k_means():
    z = np.random.default_rng(0).standard_normal((60_000, 3)).astype(np.float32)
    _check(cluster_initialisation(z, 12), 12, 3)


@pytest.mark.parametrize("n_per_class", [1, 3])
def test_classes_own_their_components(blobs, n_per_class):
    z, types, _ = blobs
    labels = types.copy()
    labels[::5] = -1
    parameters = class_initialisation(z, labels, 4, n_per_class)
    _check(parameters, 4 * n_per_class, 6)
    nearest = ((z[:, None] - parameters[0]) ** 2).sum(-1).argmin(1)
    assert (nearest // n_per_class == types).mean() > 0.99


def test_components_of_empty_classes_surround_the_mean(blobs):
    z, types, _ = blobs
    labels = np.where(types == 2, -1, types)
    means, variances, weights = parameters = class_initialisation(z, labels, 6, 2)
    _check(parameters, 12, 6)
    for k in (4, 5, 8, 9, 10, 11):
        assert (np.abs(means[k] - z.mean(0)) < 4 * z.std(0)).all()
        np.testing.assert_allclose(variances[k], z.var(0), rtol=1e-3)
        assert weights[k] == weights.min()


def test_no_labels(blobs):
    z, types, _ = blobs
    _check(class_initialisation(z, np.full(400, -1), 3, 2), 6, 6)


def test_deterministic(blobs):
    z, types, _ = blobs
    for a, b in zip(
        cluster_initialisation(z, 9, seed=4), cluster_initialisation(z, 9, seed=4), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_number_of_components():
    rng = np.random.default_rng(0)
    centres = 8 * rng.standard_normal((10, 8))
    z = centres[rng.integers(0, 10, 3000)] + rng.standard_normal((3000, 8))
    assert choose_n_components(z) in (9, 10, 11)
    assert choose_n_components(rng.standard_normal((2000, 8))) == 1
    assert choose_n_components(z[:3]) == 1
    assert choose_n_components(np.zeros((200, 3))) == 1


def _types(n_types, seed, *, n=600, dims=6):
    rng = np.random.default_rng(seed)
    types = rng.integers(0, n_types, n)
    return 4 * rng.standard_normal((n_types, dims))[types] + rng.standard_normal((n, dims)), types


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_elongated_types_are_not_split(seed):
    """The types are elongated along an oblique direction, unlike any diagonal covariance."""
    z, types = _types(3, seed, n=900)
    rng = np.random.default_rng(seed + 10)
    direction = rng.standard_normal((3, 6))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    long = z + 1.5 * rng.standard_normal((900, 1)) * direction[types]
    assert choose_n_components(long) == 3


@pytest.mark.parametrize("seed", [1, 2, 4])
def test_number_of_components_does_not_depend_on_order_or_seed(seed):
    """The number is also correct, despite k-means initialisations that merge clusters."""
    z, _ = _types(12, seed)
    orders = [np.random.default_rng(i).permutation(len(z)) for i in range(4)]
    found = {choose_n_components(z[order], seed=i) for i, order in enumerate(orders)}
    assert found in ({11}, {12})


def test_number_of_components_of_identical_cells():
    z = np.repeat(10 * np.eye(4), 60, axis=0)
    assert choose_n_components(z) == 4


def test_errors(blobs):
    z, types, _ = blobs
    with pytest.raises(ValueError, match="n_classes"):
        class_initialisation(z, types, 2)
    with pytest.raises(ValueError, match="embedding"):
        cluster_initialisation(np.zeros((0, 3)), 2)
