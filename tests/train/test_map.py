import pytest
import torch

from multiDGD.module import MultiDGDModule
from multiDGD.nn import Counts
from multiDGD.nn.likelihoods._zero import ZeroPart
from multiDGD.nn.likelihoods.negative_binomial import NegativeBinomialZero
from multiDGD.train import category_means, infer_representations
from multiDGD.train._map import best_candidates, frozen_gradient


@pytest.fixture
def module():
    """A decoder with a clear signal: each component of the mixture has counts of its own."""
    torch.manual_seed(0)
    module = MultiDGDModule(
        1,
        {"rna": 30, "adt": 10},
        n_latent=3,
        n_components=4,
        covariates={"batch": 2},
        n_continuous=1,
        decoder_kwargs={"n_units": 16},
    )
    with torch.no_grad():
        module.mixture.initialize(2 * torch.randn(4, 3), torch.full((4, 3), 0.05))
        for head in module.decoder.heads:
            head.output.weight.normal_(0, 1.5)
    return module.eval()


def draw(module, n, library=400):
    """Minibatch of cells drawn from the model, with the representations that they came from."""
    z = module.mixture.sample(n)
    covariates = torch.arange(n)[:, None] % 2
    w = torch.cat([z, category_means(module, covariates)], 1).detach()
    continuous = torch.randn(n, 1)
    logits = module.generative(w, continuous)["logits"]
    counts = {}
    for m, a in logits.items():
        mean = module.likelihood(m).mean(a, torch.full((n,), float(library)))
        counts[m] = Counts.from_dense(module.likelihood(m).sample(mean.detach()))
    return {
        "cells": torch.arange(n),
        "counts": counts,
        "labels": torch.full((n,), -1),
        "covariates": covariates,
        "continuous": continuous,
    }, w


def part(batch, rows):
    def take(counts):
        return Counts.from_dense(counts.to_dense()[rows], counts.library[rows])

    return {
        k: {m: take(c) for m, c in v.items()} if k == "counts" else v[rows]
        for k, v in batch.items()
    }


def loss(module, batch, w):
    return frozen_gradient(module, batch, w)[0].loss.item()


def test_inferred_is_better_than_the_truth_and_near_it(module):
    batch, truth = draw(module, 60)
    found = infer_representations(module, [batch])
    # The maximum of the posterior cannot be below the posterior of the truth.
    assert loss(module, batch, found) <= loss(module, batch, truth)
    distance = (found - truth)[:, :3].norm(dim=1)
    spread = torch.cdist(truth[:, :3], truth[:, :3]).median()
    assert distance.median() < 0.2 * spread


def test_more_steps_do_not_find_much_more(module):
    batch, _ = draw(module, 40)
    short = loss(module, batch, infer_representations(module, [batch]))
    long = loss(module, batch, infer_representations(module, [batch], n_steps=1000))
    assert short - long < 2e-3 * abs(long)


def test_neither_order_nor_minibatch_matter(module):
    batch, _ = draw(module, 24)
    whole = infer_representations(module, [batch])
    order = torch.randperm(24)
    torch.testing.assert_close(
        infer_representations(module, [part(batch, order)]), whole[order], atol=1e-3, rtol=1e-3
    )
    split = [part(batch, torch.arange(24)[i : i + 5]) for i in range(0, 24, 5)]
    torch.testing.assert_close(infer_representations(module, split), whole, atol=1e-3, rtol=1e-3)


def test_the_model_is_left_as_it_is(module):
    before = {k: v.clone() for k, v in module.state_dict().items()}
    batch, _ = draw(module, 10)
    infer_representations(module, [batch])
    for key, value in module.state_dict().items():
        torch.testing.assert_close(value, before[key])
    assert all(p.grad is None for p in module.parameters())


def test_no_gradient_of_the_model_is_computed(module, monkeypatch):
    batch, _ = draw(module, 6)

    def refuse(*args):
        raise AssertionError("a gradient that nobody uses")

    monkeypatch.setattr(ZeroPart, "parameter_gradients", refuse)
    monkeypatch.setattr(NegativeBinomialZero, "parameter_gradients", refuse)
    infer_representations(module, [batch], n_steps=1)
    assert all(p.requires_grad for p in module.parameters())


def test_labels_are_not_used():
    torch.manual_seed(0)
    module = MultiDGDModule(1, {"rna": 20}, n_latent=3, n_labels=3)
    batch, _ = draw(module, 8)
    expected = infer_representations(module, [batch])
    batch["labels"] = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])
    torch.testing.assert_close(infer_representations(module, [batch]), expected)


def test_candidates_are_the_most_likely_component(module):
    batch, _ = draw(module, 50)
    u = category_means(module, batch["covariates"])
    scores = []
    for mean in module.mixture.mean:
        w = torch.cat([mean.expand(50, -1), u], 1)
        logits = module.generative(w, batch["continuous"])["logits"]
        share = {m: a.log_softmax(1) for m, a in logits.items()}
        scores.append(sum((batch["counts"][m].to_dense() * share[m]).sum(1) for m in share))
    best = torch.stack(scores).argmax(0)
    assert len(best.unique()) > 1
    candidates = best_candidates(module, batch)
    torch.testing.assert_close(candidates, torch.cat([module.mixture.mean[best], u], 1))


def test_unknown_category_starts_between_the_known(module):
    codes = torch.tensor([[0], [1], [-1]])
    u = category_means(module, codes)
    torch.testing.assert_close(u[2], u[:2].mean(0))


def test_a_missing_modality_says_nothing(module):
    batch, _ = draw(module, 12)
    empty = Counts.from_dense(torch.zeros(12, 10))
    without = {**batch, "counts": {**batch["counts"], "adt": empty}}
    found = infer_representations(module, [without])
    output, gradient = frozen_gradient(module, without, found)
    assert (output.reconstruction_loss["reconstruction_loss_adt"] == 0).all()
    only = {m: c for m, c in batch["counts"].items() if m == "rna"}
    by_hand = module.reconstruction_loss(
        {"rna": module.generative(found, batch["continuous"])["logits"]["rna"]}, only
    )
    torch.testing.assert_close(
        output.reconstruction_loss["reconstruction_loss_rna"], by_hand["rna"]
    )
    assert gradient.abs().max() < 1.0
