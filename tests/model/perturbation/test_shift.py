import numpy as np
import pytest
import torch

from multiDGD.inference import associations, population_covariance
from multiDGD.model.links._published_step import published_step
from multiDGD.model.perturbation._shift import Shift, summed_log_shares
from multiDGD.module import MultiDGDModule
from multiDGD.nn import Counts


@pytest.fixture
def module():
    torch.manual_seed(0)
    found = MultiDGDModule(
        1,
        {"rna": 7, "atac": 5},
        n_latent=3,
        n_components=2,
        covariates={"batch": 2},
        decoder_kwargs={"n_hidden": 1, "n_hidden_modality": 1},
    )
    found.decoder.trunk[1] = torch.nn.Tanh()  # smooth, so that linear approximations hold
    for head in found.decoder.heads:
        torch.nn.init.normal_(head.output.weight, std=1.0)
    found.mixture.neglogvar.data.fill_(-2.0)
    return found.double().eval().requires_grad_(False)


@pytest.fixture
def batch(module):
    generator = torch.Generator().manual_seed(1)
    counts = {
        m: Counts.from_dense(torch.poisson(torch.full((6, f), 3.0), generator).double())
        for m, f in (("rna", 7), ("atac", 5))
    }
    return {"counts": counts, "continuous": torch.zeros(6, 0).double()}


@pytest.fixture
def representation(module):
    return torch.randn(6, module.n_representation, dtype=torch.float64)


def log_means(module, batch, w, modality="rna"):
    logits = module.generative(w, batch["continuous"], [modality])["logits"][modality]
    return logits.log_softmax(-1)


def test_population_covariance_matches_samples(module):
    module.mixture.weight.data[:] = torch.tensor([0.5, -0.5])
    z = module.mixture.sample(200_000)
    found = population_covariance(module.mixture)
    torch.testing.assert_close(found, torch.cov(z.double().T), atol=0.03, rtol=0.03)


def test_features_change_by_the_given_amount(module, batch, representation):
    change = torch.tensor([-0.7, 0.3]).double()
    shift = Shift(module, representation, batch["continuous"], "rna")
    moved = shift(torch.tensor([[1, 4]]), change[None])[0]
    found = (log_means(module, batch, moved) - log_means(module, batch, representation))[:, [1, 4]]
    torch.testing.assert_close(found, change.expand_as(found), atol=0.1, rtol=0)
    # Covariates are unchanged.
    assert torch.equal(moved[:, 3:], representation[:, 3:])


def test_shift_is_the_most_probable_one(module, batch, representation):
    """For a small change, the shift satisfies the optimality condition of the constraint."""
    change = torch.tensor([0.05]).double()
    shift = Shift(module, representation, batch["continuous"], "rna")
    step = (shift(torch.tensor([[2]]), change[None])[0] - representation)[:, :3]
    precision = torch.linalg.inv(shift.covariance)
    # At the optimum, the precision times the step is parallel to the derivative of the feature.
    leaf = representation.clone().requires_grad_()
    eta = log_means(module, batch, leaf)[:, 2]
    (slope,) = torch.autograd.grad(eta.sum(), leaf)
    cosine = torch.cosine_similarity(step @ precision, slope[:, :3], dim=1)
    torch.testing.assert_close(cosine, torch.ones_like(cosine), atol=0.02, rtol=0)


def test_sets_are_shifted_independently(module, batch, representation):
    sets, change = (
        torch.tensor([[1, 4], [0, 6]]),
        torch.tensor([[-0.7, 0.3], [0.2, -0.5]]).double(),
    )
    shift = Shift(module, representation, batch["continuous"], "rna")
    both = shift(sets, change)
    assert both.shape == (2, *representation.shape)
    for k in range(2):
        torch.testing.assert_close(shift(sets[k : k + 1], change[k : k + 1])[0], both[k])


def test_approximate_normalisers_have_the_result_of_exact_ones(
    module, batch, representation, monkeypatch
):
    sets, change = torch.tensor([[1], [2]]), torch.tensor([[-0.7], [0.5]]).double()
    shift = Shift(module, representation, batch["continuous"], "rna")
    found = shift(sets, change)
    # No approximation is exact enough.
    monkeypatch.setattr("multiDGD.model.perturbation._shift._TOLERANCE", -1.0)
    exact = shift(sets, change)
    for k in range(2):
        difference = log_means(module, batch, exact[k]) - log_means(module, batch, found[k])
        assert difference[:, sets[k]].abs().max() < 0.02
        assert difference.abs().median() < 5e-3


def test_sums_of_log_shares(module, batch, representation):
    w = torch.stack([representation, representation + 0.1])
    found = summed_log_shares(module, w, batch["continuous"])
    for m, f in (("rna", 7), ("atac", 5)):
        assert found[m].shape == (2, f)
        torch.testing.assert_close(found[m][1], log_means(module, batch, w[1], m).sum(0))


def test_published_step_is_a_step_of_adam(module, batch, representation):
    found = published_step(module, batch, representation, 3, "rna")
    leaf = representation.clone().requires_grad_()
    likelihood, library = module.likelihood("rna"), batch["counts"]["rna"].library
    mean = likelihood.mean(module.generative(leaf, batch["continuous"])["logits"]["rna"], library)
    (gradient,) = torch.autograd.grad(-likelihood.log_prob_zero(mean)[:, 3].sum(), leaf)
    gradient = gradient[:, :3] + 1e-4 * representation[:, :3]
    expected = representation[:, :3] - 0.01 * gradient / (gradient.abs() + 1e-8)
    torch.testing.assert_close(found[:, :3], expected)
    assert torch.equal(found[:, 3:], representation[:, 3:])
    assert (published_step(module, batch, representation, 3, "rna", n_steps=4) != found).any()


def test_associations_match_products_of_jacobians(module, batch, representation):
    found = associations(module, [(batch, representation)], torch.tensor([1, 3]), "rna", "atac")
    covariance = population_covariance(module.mixture)
    jacobians = {
        m: torch.stack(
            [
                torch.autograd.functional.jacobian(
                    lambda z, i=i, m=m: log_means(
                        module,
                        {"continuous": batch["continuous"][i : i + 1]},
                        torch.cat([z, representation[i, 3:]])[None],
                        m,
                    )[0],
                    representation[i, :3],
                )
                for i in range(len(representation))
            ]
        )
        for m in ("rna", "atac")
    }
    expected = jacobians["rna"][:, [1, 3]] @ covariance @ jacobians["atac"].mT
    torch.testing.assert_close(found.covariance, expected.mean(0))
    own = associations(module, [(batch, representation)], torch.tensor([1, 3]), "rna", "rna")
    torch.testing.assert_close(own.correlation[[0, 1], [1, 3]], torch.ones(2).double())
    assert (found.correlation.abs() <= 1).all()
    # The same cells in two minibatches.
    parts = [
        ({"continuous": batch["continuous"][part]}, representation[part])
        for part in (slice(4), slice(4, 6))
    ]
    again = associations(module, parts, torch.tensor([1, 3]), "rna", "atac")
    np.testing.assert_allclose(again.correlation, found.correlation)
