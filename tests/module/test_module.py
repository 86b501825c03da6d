import pytest
import torch

from multiDGD.module import MultiDGDModule, surrogate_module
from multiDGD.nn import Counts


def batch_of(n=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        "cells": torch.arange(n),
        "counts": {
            "rna": Counts.from_dense(torch.poisson(torch.rand(n, 5, generator=generator) * 3)),
            "atac": Counts.from_dense(torch.poisson(torch.rand(n, 7, generator=generator))),
        },
        "labels": torch.tensor([0, 1, -1, 0, 1, -1]),
        "covariates": torch.tensor([[0, 0, 1]] * 3 + [[1, 0, 0]] * 3),
        "continuous": torch.randn(n, 1, generator=generator),
    }


def make(**kwargs):
    torch.manual_seed(0)
    arguments = {
        "n_latent": 4,
        "n_labels": 2,
        "n_components_per_class": 2,
        "covariates": {"batch": 2, "single": 1, "site": 2},
        "n_continuous": 1,
        **kwargs,
    }
    module = MultiDGDModule(6, {"rna": 5, "atac": 7}, **arguments)
    with torch.no_grad():
        module.representations.z.normal_()
    return module


def test_loss_is_the_sum_of_its_terms():
    module, batch = make(mixture_weight=0.3), batch_of()
    _, generated, output = module(batch, loss_kwargs={"n_obs": 60})
    w = module.representations.z
    z, (batch_u, site_u) = module.split(w)
    expected = torch.zeros(())
    for modality, counts in batch["counts"].items():
        logits = generated["logits"][modality]
        expected -= module.likelihood(modality).log_prob(logits, counts.to_dense()).sum()
    expected -= 0.3 * module.mixture.log_density(z, batch["labels"]).sum()
    expected -= module.covariate_mixtures[0].log_density(batch_u, [0, 0, 0, 1, 1, 1]).sum()
    expected -= module.covariate_mixtures[1].log_density(site_u, [1, 1, 1, 0, 0, 0]).sum()
    prior = 0.3 * module.mixture.prior_log_prob() + sum(
        m.prior_log_prob() for m in module.covariate_mixtures
    )
    torch.testing.assert_close(output.loss, expected - prior * 6 / 60)
    torch.testing.assert_close(output.kl_global_sum, -prior)
    torch.testing.assert_close(
        output.reconstruction_loss_sum + output.kl_local_sum, output.loss + prior * 6 / 60
    )
    assert set(output.kl_local) == {"mixture_loss", "covariate_batch_loss", "covariate_site_loss"}


def test_weight_of_the_mixture_does_not_change_its_optimum_for_given_representations():
    gradients = []
    for weight in (0.25, 1.0):
        module, batch = make(mixture_weight=weight), batch_of()
        module(batch, loss_kwargs={"n_obs": 6})[2].loss.backward()
        gradients.append(
            torch.cat([p.grad.flatten() for p in module.mixture.parameters()]) / weight
        )
    torch.testing.assert_close(*gradients)
    assert gradients[0].abs().max() > 0.1


def test_parameters_saved_without_a_weight_of_the_mixture_have_weight_1():
    state = make(mixture_weight=0.3).state_dict()
    loaded = make(mixture_weight=0.5)
    loaded.load_state_dict(state)
    assert float(loaded.mixture_weight) == pytest.approx(0.3)
    del state["mixture_weight"]
    loaded.load_state_dict(state)
    assert float(loaded.mixture_weight) == 1


def test_priors_count_once_over_all_minibatches():
    module, batch = make(), batch_of()

    def rows(index):
        return {
            k: {m: Counts.from_dense(c.to_dense()[index]) for m, c in v.items()}
            if k == "counts"
            else v[index]
            for k, v in batch.items()
        }

    whole = module(batch, loss_kwargs={"n_obs": 6})[2].loss
    parts = [
        module(rows(torch.tensor(i)), loss_kwargs={"n_obs": 6})[2].loss
        for i in ([0, 1], [2, 3, 4], [5])
    ]
    torch.testing.assert_close(sum(parts), whole)


def test_given_representations_replace_the_table():
    module, batch = make(), batch_of()
    w = torch.randn(6, module.n_representation)
    found = module(batch, get_inference_input_kwargs={"representation": w})[0]
    torch.testing.assert_close(found["representation"], w)
    torch.testing.assert_close(module(batch)[0]["z"], module.representations.z[:, :4])


def test_covariates_with_one_category_are_not_modelled():
    module = make()
    assert module.covariates == ["batch", "site"]
    assert module.covariate_columns == [0, 2]
    assert module.n_representation == 4 + 2 + 2


def test_continuous_covariates_are_standardised():
    module, batch = make(), batch_of()
    w = torch.zeros(6, module.n_representation)
    plain = module.generative(w, batch["continuous"])["logits"]["rna"]
    module.continuous_mean += 5
    module.continuous_scale *= 3
    same = module.generative(w, batch["continuous"] * 3 + 5)["logits"]["rna"]
    torch.testing.assert_close(same, plain)
    other = module.generative(w, batch["continuous"])["logits"]["rna"]
    assert (other - plain).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("modality", "expected"),
    [
        ("rna", "nb"),
        ("atac", "nb"),
        ("Gene Expression", "nb"),
        ("prot", "protein"),
        ("ADT", "protein"),
        ("Antibody Capture", "protein"),
        ("protein_coding", "nb"),
    ],
)
def test_default_likelihood_depends_on_the_name_of_the_modality(modality, expected):
    module = MultiDGDModule(1, {modality: 3, "b": 2}, n_latent=2, n_components=2)
    assert [module.likelihood(m).name for m in module.modalities] == [expected, "nb"]
    module = MultiDGDModule(1, {modality: 3}, n_latent=2, n_components=2, likelihoods="poisson")
    assert module.likelihood(modality).name == "poisson"


def test_likelihoods_by_modality():
    module = make(likelihoods={"atac": "bernoulli"})
    assert [module.likelihood(m).name for m in ("rna", "atac")] == ["nb", "bernoulli"]
    module = make(likelihoods="poisson")
    assert [module.likelihood(m).name for m in module.modalities] == ["poisson", "poisson"]


def test_sampled_counts_have_the_decoded_means():
    module, batch = make(likelihoods="poisson"), batch_of()
    torch.manual_seed(0)
    draws = torch.stack([module.sample(batch)["rna"] for _ in range(4000)])
    with torch.no_grad():
        logits = module(batch)[1]["logits"]["rna"]
    mean = batch["counts"]["rna"].library[:, None] * logits.softmax(1)
    torch.testing.assert_close(draws.mean(0), mean, atol=0.25, rtol=0)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("n_latent", 0),
        ("n_covariate_latent", 0),
        ("n_components_per_class", 0),
        ("softball", 2.0),
        ("softball", (0.0, 5.0)),
        ("sd_mean", 0.0),
        ("dirichlet_alpha", 0.0),
        ("dirichlet_alpha_covariates", -1.0),
        ("likelihoods", {"prot": "nb"}),
        ("likelihoods", "gauss"),
    ],
)
def test_errors_name_the_argument(argument, value):
    with pytest.raises(ValueError, match=f"^`{argument}`"):
        make(**{argument: value})


def test_mixture_is_unsupervised_without_labels():
    module, batch = make(n_labels=0, n_components=3), batch_of()
    before = module(batch)[2].loss
    batch["labels"] = torch.zeros(6, dtype=torch.int64)
    torch.testing.assert_close(module(batch)[2].loss, before)


def test_surrogate_module_replaces_only_the_likelihoods():
    sizes = {"rna": 3, "adt": 4}
    plain = MultiDGDModule(1, sizes, n_latent=2, n_components=2, likelihoods="nb")
    assert surrogate_module(plain) is plain
    module = MultiDGDModule(1, sizes, n_latent=2, n_components=2)
    found = surrogate_module(module)
    assert module.likelihood("adt").name == "protein"
    assert [found.likelihood(m).name for m in found.modalities] == ["nb", "nb"]
    assert found.likelihood("rna") is module.likelihood("rna")
    assert found.decoder is module.decoder
    assert found.mixture is module.mixture
