import numpy as np
import pytest
import scvi
import torch

from multiDGD import MultiDGD
from multiDGD.inference import _infer_representations, _optimise, infer_representations
from multiDGD.inference._candidates import best_candidates
from multiDGD.inference._curvature import Curvature
from multiDGD.inference._hidden_model import HiddenModel, expand, wide_modalities
from multiDGD.module import (
    FeatureSubset,
    MultiDGDModule,
    add_categories,
    category_means,
    cell_losses,
    frozen,
    join,
)
from multiDGD.nn import Counts


@pytest.fixture
def module():
    """A module with one wide and one narrow modality, and a distinct profile per component."""
    torch.manual_seed(0)
    module = MultiDGDModule(
        1,
        {"rna": 200, "adt": 10},
        n_latent=3,
        n_components=4,
        likelihoods={"rna": "nb", "adt": "protein"},
        covariates={"batch": 2},
        decoder_kwargs={"n_units": 16},
    )
    with torch.no_grad():
        module.mixture.initialize(2 * torch.randn(4, 3), torch.full((4, 3), 0.05))
        for head in module.decoder.heads:
            head.output.weight.normal_(0, 1)
    return module.eval()


def draw(module, n, library=600):
    w = torch.cat(
        [module.mixture.sample(n), category_means(module, torch.arange(n)[:, None] % 2)], 1
    ).detach()
    continuous = torch.zeros(n, 0)
    counts = {}
    for m, a in module.generative(w, continuous)["logits"].items():
        mean = module.likelihood(m).mean(a, torch.full((n,), float(library)))
        counts[m] = Counts.from_dense(module.likelihood(m).sample(mean.detach()))
    return {
        "cells": torch.arange(n),
        "counts": counts,
        "labels": torch.full((n,), -1),
        "covariates": torch.arange(n)[:, None] % 2,
        "continuous": continuous,
    }


def former(monkeypatch):
    """Optimise the posterior itself, without a model."""
    for file in (_infer_representations, _optimise):
        monkeypatch.setattr(file, "wide_modalities", lambda module: [])


def losses(module, batch, **options):
    return cell_losses(module, batch, infer_representations(module, [batch], **options))[0]


def test_wide_modalities_have_many_features_and_no_local_optima(module):
    assert wide_modalities(module) == ["rna"]
    subset = FeatureSubset(module, {"rna": np.arange(12), "adt": np.arange(10)})
    assert wide_modalities(subset.module) == []
    proteins = MultiDGDModule(1, {"adt": 200}, decoder_kwargs={"n_units": 16})
    assert wide_modalities(proteins) == []


def test_model_has_the_value_and_gradient_of_the_posterior(module):
    batch, rows = draw(module, 12), torch.arange(12)
    w = best_candidates(module, batch) + 0.1
    with frozen(module):
        expansion = expand(module, batch, w, ["rna"])
        value, gradient = HiddenModel(module, Curvature(module), batch, expansion)(rows, w)
    expected, slope = cell_losses(module, batch, w)
    torch.testing.assert_close(value + expansion.loss, expected, atol=1e-2, rtol=1e-4)
    torch.testing.assert_close(gradient, slope, atol=1e-2, rtol=1e-3)


def test_model_is_close_to_the_posterior_nearby(module):
    batch, rows = draw(module, 40), torch.arange(40)
    w = infer_representations(module, [batch])
    moved = w + 0.1 * torch.randn(w.shape, generator=torch.Generator().manual_seed(1))
    with frozen(module):
        model = HiddenModel(module, Curvature(module), batch, expand(module, batch, w, ["rna"]))
        modelled = model(rows, moved)[0] - model(rows, w)[0]
        model.damping *= 10
        damped = model(rows, moved)[0] - model(rows, w)[0]
    rise = cell_losses(module, batch, moved)[0] - cell_losses(module, batch, w)[0]
    assert (modelled - rise).abs().mean() < 0.5 * rise.mean()
    assert (damped >= modelled - 1e-3).all()
    assert damped.mean() > 1.2 * modelled.mean()


def test_optima_are_as_low_as_without_the_model_in_fewer_evaluations(module, monkeypatch):
    batch = draw(module, 80)
    sizes = {"expand": 0, "cell_losses": 0}

    def counted(name, function):
        def call(module, part, w, *others):
            sizes[name] += len(w)
            return function(module, part, w, *others)

        return call

    for name in sizes:
        monkeypatch.setattr(_optimise, name, counted(name, getattr(_optimise, name)))
    found = losses(module, batch)
    former(monkeypatch)
    reference = losses(module, batch)
    assert (found - reference).mean() < 5e-4 * reference.mean()
    assert ((found - reference) / reference).max() < 0.02
    assert sizes["expand"] < 0.5 * sizes["cell_losses"]


@pytest.mark.parametrize(
    "observed",
    [
        {"rna": np.arange(200)},
        {"adt": np.arange(10)},
        {"rna": np.arange(0, 200, 2), "adt": np.arange(10)},
    ],
    ids=["no proteins", "no RNA", "half of the genes"],
)
def test_missing_modalities_and_features(module, monkeypatch, observed):
    batch = draw(module, 60)
    dense = {m: batch["counts"][m].to_dense()[:, at] for m, at in observed.items()}
    subset = FeatureSubset(module, observed).module
    batch = {**batch, "counts": {m: Counts.from_dense(x) for m, x in dense.items()}}
    found = losses(subset, batch)
    former(monkeypatch)
    reference = losses(subset, batch)
    assert (found - reference).mean() < 5e-4 * reference.mean()


def test_new_category(module, monkeypatch):
    add_categories(module, {"batch": 1})
    batch = draw(module, 60)
    batch["covariates"] = torch.full_like(batch["covariates"], 2)
    found = losses(module, batch)
    former(monkeypatch)
    reference = losses(module, batch)
    assert (found - reference).mean() < 5e-4 * reference.mean()


def test_cells_without_counts_are_at_a_mode_of_the_prior(module):
    batch = draw(module, 3)
    empty = {
        m: Counts.from_dense(torch.zeros(3, x.n_features)) for m, x in batch["counts"].items()
    }
    w = infer_representations(module, [{**batch, "counts": empty}])
    distance = torch.cdist(w[:, :3], module.mixture.mean).amin(1)
    assert distance.max() < 0.1


def test_real_cells(bmmc_multiome, monkeypatch):
    order = np.random.default_rng(0).permutation(bmmc_multiome.n_obs)
    query, reference = (bmmc_multiome[np.sort(c)].copy() for c in np.split(order, [60]))
    scvi.settings.seed = 0
    MultiDGD.setup_mudata(reference)
    model = MultiDGD(reference)
    model.train(max_epochs=10, enable_progress_bar=False, accelerator="cpu")
    manager, cells = model._manager_of(query), np.arange(60)

    def optima(without):
        found = []
        for subset, at in model._panels(manager, without).groups(cells):
            batch = subset.batch(join(list(manager.batches(cells[at], 128))))
            found.append(losses(subset.module, batch))
        return torch.cat(found)

    cases = (None, "atac", "rna")
    found = [optima(without) for without in cases]
    former(monkeypatch)
    for loss, without in zip(found, cases, strict=True):
        reference = optima(without)
        assert (loss - reference).mean() < 5e-4 * reference.mean()
        assert ((loss - reference) / reference).max() < 0.02
