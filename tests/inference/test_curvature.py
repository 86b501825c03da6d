import pytest
import torch

from multiDGD.inference import hidden_jacobians
from multiDGD.inference._curvature import Curvature, prior_precision
from multiDGD.module import MultiDGDModule
from multiDGD.nn import Counts


def make(decoder=None, n_components=1, mixture_weight=1.0, **kwargs):
    torch.manual_seed(0)
    module = MultiDGDModule(
        1,
        {"rna": 30, "adt": 10},
        n_latent=3,
        n_components=n_components,
        n_continuous=1,
        mixture_weight=mixture_weight,
        likelihoods={"adt": "poisson"},
        decoder_kwargs={"n_units": 16, **(decoder or {})},
        **kwargs,
    )
    module.mixture.initialize(torch.randn_like(module.mixture.mean))
    return module.double()


def batch_of(module, libraries, **kwargs):
    n = len(libraries)
    library = torch.as_tensor(libraries, dtype=torch.float64)
    counts = {
        m: Counts.from_dense(
            torch.ones(n, module.likelihood(m).n_features, dtype=torch.float64), library
        )
        for m in module.modalities
    }
    return {
        "cells": torch.arange(n),
        "counts": counts,
        "labels": torch.full((n,), -1),
        "covariates": torch.zeros(n, 0, dtype=torch.int64),
        "continuous": module.continuous_mean.expand(n, -1),
        **kwargs,
    }


def exact(module, w, library):
    """Information about one representation, from the Jacobian of all log means."""
    continuous = module.continuous_mean[None]

    def log_mean(w):
        logits = module.generative(w[None], continuous)["logits"]
        return torch.cat(
            [module.likelihood(m).mean(a, library).log()[0] for m, a in logits.items()]
        )

    jacobian = torch.autograd.functional.jacobian(log_mean, w)
    sizes = [module.likelihood(m).n_features for m in module.modalities]
    means = log_mean(w).exp().split(sizes)
    d = torch.cat(
        [module.likelihood(m).fisher(x) for m, x in zip(module.modalities, means, strict=True)]
    )
    return jacobian.T @ (d[:, None] * jacobian)


DECODERS = [
    {"n_hidden": 1, "n_hidden_modality": 1},
    {"n_hidden": 2, "n_hidden_modality": 3},
]


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("library", [1.0, 64.0, 4096.0])
def test_curvature_of_a_cell_at_the_only_component_is_exact(decoder, library):
    module = make(decoder)
    w = module.mixture.mean.detach()
    found = Curvature(module)(batch_of(module, [library]), w)[0]
    prior = torch.autograd.functional.hessian(
        lambda w: -module.mixture.log_density(w[None]).sum(), w[0]
    )
    expected = exact(module, w[0], torch.tensor([library], dtype=torch.float64)) + prior
    torch.testing.assert_close(found.detach(), expected.detach())


def test_information_is_the_average_of_the_components():
    module = make({"n_hidden": 1, "n_hidden_modality": 1}, n_components=5)
    found = Curvature(module)._information("rna", 3)
    weight = module.decoder.head("rna").output.weight
    expected = 0
    continuous = module.continuous_mean.expand(5, -1)
    share = module.generative(module.mixture.mean, continuous)["logits"]["rna"].softmax(1)
    for pi, y in zip(module.mixture.mixture_probs(), share, strict=True):
        centred = weight - y @ weight
        d = module.likelihood("rna").fisher(64 * y) / 64
        expected = expected + pi * centred.T @ (d[:, None] * centred)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("decoder", DECODERS)
def test_jacobians_equal_those_of_autograd(decoder):
    module = make(decoder, covariates={"batch": 3})
    w = torch.randn(4, 5, dtype=torch.float64)
    batch = batch_of(module, [1.0] * 4)
    for modality, found in hidden_jacobians(module, batch, w).items():

        def hidden(w, m=modality):
            latent = module.decoder_input(w, batch["continuous"])
            return module.decoder.hidden(latent)[m]

        whole = torch.autograd.functional.jacobian(hidden, w)
        expected = torch.stack([whole[i, :, i] for i in range(4)])
        torch.testing.assert_close(found, expected)


def test_positive_definite_everywhere_and_with_missing_modalities():
    module = make(n_components=4, covariates={"batch": 3})
    batch = batch_of(module, [0.0, 3.0, 1e5], covariates=torch.tensor([[0], [-1], [2]]))
    found = Curvature(module)(batch, 3 * torch.randn(3, 5, dtype=torch.float64))
    assert (torch.linalg.eigvalsh(found) > 0).all()
    expected = prior_precision(module, batch, torch.zeros(3, 5, dtype=torch.float64))
    empty = batch_of(module, [0.0] * 3, covariates=batch["covariates"])
    torch.testing.assert_close(
        Curvature(module)(empty, torch.zeros(3, 5, dtype=torch.float64)),
        torch.diag_embed(expected),
    )


def test_prior_precision_uses_the_known_class():
    module = make(n_labels=2, n_components_per_class=2, covariates={"batch": 3})
    with torch.no_grad():
        module.mixture.neglogvar.copy_(torch.arange(4.0)[:, None].expand(4, 3))
        module.covariate_mixtures[0].neglogvar.copy_(torch.arange(3.0)[:, None])
    w = torch.cat([module.mixture.mean[[1]], torch.zeros(1, 2)], 1).detach().repeat(3, 1)
    labels = torch.tensor([0, 1, -1])
    batch = batch_of(module, [1.0] * 3, labels=labels, covariates=torch.tensor([[2], [0], [1]]))
    found = prior_precision(module, batch, w).detach()
    torch.testing.assert_close(
        found[:, 3:], torch.tensor([2.0, 0.0, 1.0]).exp().double()[:, None].expand(3, 2)
    )
    one, e, e2, e3 = torch.arange(4.0).exp().tolist()
    assert one - 1e-6 <= found[0, 0] <= e
    assert e2 - 1e-6 <= found[1, 0] <= e3
    torch.testing.assert_close(found[2, 0], found[0, 0], rtol=1e-2, atol=0)


def test_prior_precision_has_the_weight_of_the_mixture():
    whole, weighted = make(n_components=3), make(n_components=3, mixture_weight=0.25)
    w = torch.randn(3, 3, dtype=torch.float64)
    batch = batch_of(whole, [4.0, 0.0, 4.0])
    partial = Counts.from_dense(torch.ones(3, 10), torch.tensor([4.0, 0.0, 0.0]).double())
    batch["counts"]["adt"] = partial
    factor = prior_precision(weighted, batch, w) / prior_precision(whole, batch, w)
    # Both modalities, none, one of two.
    expected = torch.tensor([0.25, 1.0, 0.5]).double()[:, None].expand(3, 3)
    torch.testing.assert_close(factor.detach(), expected)


def test_efficiency_decreases_with_library_size_for_overdispersed_counts():
    module = make(n_components=3)
    curvature = Curvature(module)
    library = torch.tensor([0.0, 1.0, 16.0, 256.0, 4096.0], dtype=torch.float64)
    torch.testing.assert_close(curvature.efficiency("adt", library), torch.ones_like(library))
    found = curvature.efficiency("rna", library)
    assert found[0] == 1
    assert (found[1:].diff() < 0).all()
    assert 0.9 < found[1] < 1
    assert found[-1] < 0.1
