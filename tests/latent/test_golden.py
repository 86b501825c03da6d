"""Comparison with values of the first implementation."""

import numpy as np
import pytest
import torch

from multiDGD.latent import GaussianMixture, GaussianMixtureSupervised, RepresentationLayer

CASES = [(c, a) for c in ("diagonal", "isotropic") for a in (1, 2.5)]


@pytest.fixture(scope="module")
def golden(data_dir):
    with np.load(data_dir / "golden_latent.npz") as file:
        return {key: file[key] for key in file.files}


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{case[1]}")
def case(request, golden):
    covariance_type, alpha = request.param
    prefix = f"{covariance_type}_alpha{alpha}_"
    values = {
        key.removeprefix(prefix): torch.from_numpy(value)
        for key, value in golden.items()
        if key.startswith(prefix)
    }
    gmm = GaussianMixture(
        4, 5, covariance_type, mean_init=(2, 5), sd_init=(0.3, 1), weight_alpha=alpha
    )
    gmm.load_state_dict({key: values[key] for key in ("mean", "neglogvar", "weight")})
    return gmm, torch.from_numpy(golden["x"]), values


def assert_same(found, expected, atol=0.0):
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=atol)


def test_forward_and_gradients(case):
    gmm, x, expected = case
    loss = gmm(x)
    assert_same(loss, expected["forward"])
    loss.sum().backward()
    for name in ("mean", "neglogvar", "weight"):
        # A gradient is a sum of terms that cancel; their size limits its precision in float32.
        size = float(expected[f"grad_{name}"].abs().max())
        assert_same(getattr(gmm, name).grad, expected[f"grad_{name}"], atol=1e-6 * size)


@pytest.mark.parametrize("name", ["mixture_probs", "covariance", "stddev"])
def test_probabilities_and_scales(case, name):
    gmm, _, expected = case
    value = getattr(gmm, name)
    assert_same(value() if callable(value) else value, expected[name])


def test_component_densities(case):
    gmm, x, expected = case
    probs = gmm.sample_probs(x)
    normal = expected["sample_probs"] > 1e-30  # float32 has fewer digits below
    assert normal.any()
    assert_same(probs[normal], expected["sample_probs"][normal])
    assert (probs[~normal] <= 1.1e-30).all()


def test_clustering(case):
    gmm, x, expected = case
    assert torch.equal(gmm.clustering(x), expected["clustering"])


def test_published_checkpoint_reproduces_its_clusters(data_dir):
    folder = data_dir / "legacy_checkpoint"
    state = torch.load(folder / "dgd.pt", map_location="cpu", weights_only=True)
    gmm = GaussianMixture(21, 20, mean_init=(2, 5), sd_init=(0.02, 1))
    covariate_gmm = GaussianMixtureSupervised(2, 1, 2, mean_init=(2, 5))
    layer = RepresentationLayer(20, 400)
    for module, name in (
        (gmm, "gmm"),
        (covariate_gmm, "correction_gmm"),
        (layer, "representation"),
    ):
        module.load_state_dict({key: state[f"{name}.{key}"] for key in module.state_dict()})
    with np.load(folder / "expected.npz") as expected:
        np.testing.assert_array_equal(layer().detach().numpy(), expected["latent_train"])
        np.testing.assert_array_equal(gmm.clustering(layer()), expected["clustering_train"])
