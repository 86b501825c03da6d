import math

import numpy as np
import pytest
import torch

from multiDGD import MultiDGD
from multiDGD.inference import (
    _candidates,
    _infer_representations,
    _optimise,
    infer_representations,
)
from multiDGD.inference._candidates import best_candidates, ranked_candidates
from multiDGD.inference._curvature import Curvature
from multiDGD.inference._hidden_model import expand
from multiDGD.module import (
    MultiDGDModule,
    category_means,
    cell_losses,
    frozen_gradient,
    join,
    pools,
    take_cells,
)
from multiDGD.nn import Counts
from multiDGD.nn.likelihoods._terms import Terms
from multiDGD.nn.likelihoods.negative_binomial import NegativeBinomialTerms
from multiDGD.train import RowAdam


@pytest.fixture
def module():
    """A module with a clear signal: each mixture component has a distinct count profile."""
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
    """Minibatch of cells sampled from the model, and their true representations."""
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


def loss(module, batch, w):
    return frozen_gradient(module, batch, w)[0].loss.item()


def test_map_estimates_are_near_the_truth_and_have_a_higher_posterior(module):
    batch, truth = draw(module, 60)
    found = infer_representations(module, [batch], n_starts=2)
    # The maximum of the posterior is at least as high as the posterior at the truth.
    assert loss(module, batch, found) <= loss(module, batch, truth)
    distance = (found - truth)[:, :3].norm(dim=1)
    spread = torch.cdist(truth[:, :3], truth[:, :3]).median()
    assert distance.median() < 0.2 * spread


def adam(module, batch, w, n_steps=200):
    optimizer, rows = RowAdam(w.clone(), 0.1), torch.arange(len(w))
    for step in range(n_steps):
        _, gradient = frozen_gradient(module, batch, optimizer.table)
        optimizer.step(rows, gradient, 1 - step / n_steps)
    return cell_losses(module, batch, optimizer.table)[0]


def test_losses_match_adam_with_many_steps_from_every_candidate(module):
    batch, _ = draw(module, 20)
    u = category_means(module, batch["covariates"])
    starts = [torch.cat([mean.expand(20, -1), u], 1).detach() for mean in module.mixture.mean]
    together = take_cells(batch, torch.arange(20).repeat(len(starts)))
    lowest = adam(module, together, torch.cat(starts)).view(len(starts), 20).amin(0)
    one, every = (
        cell_losses(module, batch, infer_representations(module, [batch], n_starts=n))[0]
        for n in (1, 4)
    )
    assert (every <= one + 1e-3).all()
    assert (every - lowest).mean() < 1e-3 * lowest.mean()
    # The toy decoder has local optima, so that one starting point is not always enough.
    assert (one - lowest).mean() < 1e-2 * lowest.mean()


def test_tolerance_bounds_the_remaining_gain(module):
    batch, truth = draw(module, 40)

    def losses(**kwargs):
        w = infer_representations(module, [batch], start=truth + 0.5, **kwargs)
        return cell_losses(module, batch, w)[0]

    coarse, fine = losses(tolerance=0.5), losses(tolerance=1e-4)
    capped = losses(tolerance=1e-4, max_steps=1)
    # The path is the same; only the stopping point differs.
    assert (fine <= coarse + 1e-3).all()
    assert (fine <= capped + 1e-3).all()
    assert (coarse - fine).median() < 0.5
    assert (coarse - fine).max() > 1e-2
    assert (capped - fine).max() > 1e-2


def test_results_depend_neither_on_order_nor_on_minibatch(module, monkeypatch):
    batch, _ = draw(module, 60)
    # Kinks of the decoder amplify rounding, which depends on the size of matrix products.
    close = {"atol": 2e-3, "rtol": 2e-3}
    whole = infer_representations(module, [batch])
    order = torch.randperm(60)
    found = infer_representations(module, [take_cells(batch, order)])
    torch.testing.assert_close(found, whole[order], **close)
    split = [take_cells(batch, cells) for cells in torch.arange(60).split(7)]
    for pool_cells in (1, 20, 1024):
        monkeypatch.setattr(_infer_representations, "POOL_CELLS", pool_cells)
        found = infer_representations(module, split)
        torch.testing.assert_close(found, whole, **close)


def test_evaluations_are_no_larger_than_the_minibatch(module, monkeypatch):
    batch, _ = draw(module, 30)
    sizes = []

    def counted(module, batch, w, wide):
        sizes.append(len(w))
        return expand(module, batch, w, wide)

    monkeypatch.setattr(_optimise, "expand", counted)
    infer_representations(module, [take_cells(batch, c) for c in torch.arange(30).split(8)])
    assert max(sizes) == 8
    # Converged cells are not evaluated again.
    assert sum(sizes) < 30 * 20
    assert sizes[-1] < 8


def test_pools_keep_every_cell_in_order(module):
    batch, _ = draw(module, 11)
    parts = [take_cells(batch, c) for c in torch.arange(11).split(2)]
    for n in (1, 3, 100):
        found = list(pools(parts, n))
        assert all(sum(len(b["cells"]) for b in pool) >= n for pool in found[:-1])
        joined = join([join(pool) for pool in found])
        assert torch.equal(joined["cells"], batch["cells"])
        for m, counts in batch["counts"].items():
            torch.testing.assert_close(joined["counts"][m].to_dense(), counts.to_dense())


def test_given_starting_points(module):
    batch, truth = draw(module, 30)
    split = [take_cells(batch, c) for c in torch.arange(30).split(7)]
    found = infer_representations(module, split, start=truth)
    at_truth, at_found = (cell_losses(module, batch, w)[0] for w in (truth, found))
    assert (at_found <= at_truth).all()
    assert (at_found < at_truth - 0.1).any()
    # The optimisation stops at once if it starts from its own result.
    again = infer_representations(module, split, start=found)
    assert (cell_losses(module, batch, again)[0] > at_found - 0.5).all()
    unmoved = infer_representations(module, split, start=truth, tolerance=1e9)
    torch.testing.assert_close(unmoved, truth)


def test_invalid_arguments(module):
    batch, truth = draw(module, 4)
    for start in (truth[:, :-1], truth[:3], torch.cat([truth, truth])):
        with pytest.raises(ValueError, match="`start`"):
            infer_representations(module, [batch], start=start)
    for argument in ("tolerance", "n_starts"):
        with pytest.raises(ValueError, match=f"`{argument}`.*0"):
            infer_representations(module, [batch], **{argument: 0})


def test_the_module_is_unchanged(module):
    before = {k: v.clone() for k, v in module.state_dict().items()}
    batch, _ = draw(module, 10)
    infer_representations(module, [batch])
    for key, value in module.state_dict().items():
        torch.testing.assert_close(value, before[key])
    assert all(p.grad is None for p in module.parameters())


def test_no_parameter_gradients_are_computed(module, monkeypatch):
    batch, _ = draw(module, 6)

    def fail(*args):
        raise AssertionError("a parameter gradient was computed")

    monkeypatch.setattr(Terms, "parameter_gradients", fail)
    monkeypatch.setattr(NegativeBinomialTerms, "parameter_gradients", fail)
    infer_representations(module, [batch], max_steps=1)
    assert all(p.requires_grad for p in module.parameters())


def test_labels_are_used_only_on_request():
    module = MultiDGDModule(1, {"rna": 20}, n_latent=3, n_labels=3)
    module.mixture.initialize(2 * torch.randn(3, 3), torch.full((3, 1), 0.01))
    batch, _ = draw(module, 9, library=3)
    expected = infer_representations(module, [batch])
    batch["labels"] = torch.arange(9) % 3
    torch.testing.assert_close(infer_representations(module, [batch]), expected)
    found = infer_representations(module, [batch], use_labels=True)
    assert torch.equal(module.mixture.clustering(found), batch["labels"])
    batch["labels"] = torch.full((9,), -1)
    torch.testing.assert_close(infer_representations(module, [batch], use_labels=True), expected)


def scores(module, batch, w):
    """Scores of one candidate per cell, computed from dense counts."""
    logits = module.generative(w, (2 * batch["continuous"]).round() / 2)["logits"]
    terms = module.latent_log_prob(w, batch["labels"], batch["covariates"]).values()
    curvature = Curvature(module)
    for m, a in logits.items():
        counts = batch["counts"][m]
        by_cell = (counts.to_dense() * a.log_softmax(1)).sum(1)
        terms = [*terms, by_cell * curvature.efficiency(m, counts.library)]
    return sum(terms)


@pytest.mark.parametrize("unknown", [False, True])
def test_candidates_have_the_highest_scores(module, unknown, monkeypatch):
    monkeypatch.setattr(_candidates, "BLOCK_ELEMENTS", 90)
    batch, _ = draw(module, 50)
    codes = batch["covariates"]
    if unknown:
        codes[::3] = -1
    options = []
    for mean in module.mixture.mean:
        for code in (0, 1):
            used = torch.where(codes < 0, code, codes)
            w = torch.cat([mean.expand(50, -1), category_means(module, used)], 1)
            options.append((w, scores(module, batch, w)))
    table = torch.stack([w for w, _ in options], 1).detach()
    best = torch.stack([s for _, s in options], 1).argmax(1)
    assert len(best.unique()) > 3
    found = best_candidates(module, batch)
    torch.testing.assert_close(found, table[torch.arange(50), best])
    ranked = ranked_candidates(module, batch, 4)
    torch.testing.assert_close(ranked[:, 0], found)
    order = torch.stack([scores(module, batch, ranked[:, i]) for i in range(4)], 1)
    assert (order.diff(dim=1) <= 1e-3).all()


def test_average_category_with_too_many_combinations(module, monkeypatch):
    monkeypatch.setattr(_candidates, "MAX_COMBINATIONS", 1)
    batch, _ = draw(module, 6)
    batch["covariates"][:] = -1
    found = best_candidates(module, batch)
    torch.testing.assert_close(found[:, 3:], category_means(module, batch["covariates"]))


def test_unknown_categories_cost_no_more_than_a_guess(module):
    batch, _ = draw(module, 40)
    unknown = {**batch, "covariates": torch.full_like(batch["covariates"], -1)}
    at_known, at_unknown = (
        cell_losses(module, b, infer_representations(module, [b], n_starts=4))[0]
        for b in (batch, unknown)
    )
    # Two categories of equal weight cost log 2 for each cell.
    assert (at_unknown - at_known).mean() < math.log(2) + 0.1


def test_candidates_depend_on_continuous_covariates(module):
    batch, _ = draw(module, 40)
    far = {**batch, "continuous": batch["continuous"] + 5 * (torch.arange(40) % 2)[:, None]}
    order = torch.randperm(40)
    found = best_candidates(module, far)
    torch.testing.assert_close(best_candidates(module, take_cells(far, order)), found[order])
    moved = (found != best_candidates(module, batch)).any(1)
    assert moved[1::2].any()
    assert not moved[::2].any()


def test_unknown_category_has_the_average_mean(module):
    codes = torch.tensor([[0], [1], [-1]])
    u = category_means(module, codes)
    torch.testing.assert_close(u[2], u[:2].mean(0))


def test_missing_modalities_do_not_contribute(module):
    batch, _ = draw(module, 12)
    empty = Counts.from_dense(torch.zeros(12, 10))
    without = {**batch, "counts": {**batch["counts"], "adt": empty}}
    found = infer_representations(module, [without])
    assert found.isfinite().all()
    losses = frozen_gradient(module, without, found)[0].reconstruction_loss
    assert (losses["reconstruction_loss_adt"] == 0).all()
    with torch.no_grad():
        for parameter in module.decoder.head("adt").parameters():
            parameter.normal_()
    torch.testing.assert_close(infer_representations(module, [without]), found)


@pytest.mark.parametrize("likelihood", ["poisson", "bernoulli"])
def test_deep_decoders_with_several_covariates_and_other_likelihoods(likelihood):
    module = MultiDGDModule(
        1,
        {"a": 30, "b": 20, "c": 5},
        n_latent=3,
        n_components=4,
        covariates={"batch": 2, "constant": 1, "site": 3},
        n_continuous=2,
        likelihoods={"b": likelihood},
        decoder_kwargs={"n_units": 16, "n_hidden": 2, "n_hidden_modality": 3},
    )
    module.mixture.initialize(2 * torch.randn(4, 3))
    n = 20
    batch = {
        "cells": torch.arange(n),
        "counts": {
            m: Counts.from_dense(torch.poisson(torch.rand(n, module.likelihood(m).n_features)))
            for m in module.modalities
        },
        "labels": torch.full((n,), -1),
        "covariates": torch.stack([torch.arange(n) % 2, torch.zeros(n), torch.arange(n) % 4 - 1])
        .long()
        .T,
        "continuous": torch.randn(n, 2),
    }
    start = best_candidates(module, batch)
    fine, found = (infer_representations(module, [batch], tolerance=t) for t in (1e-5, 0.05))
    at_start, at_fine, at_found = (cell_losses(module, batch, w)[0] for w in (start, fine, found))
    assert (at_found <= at_start + 1e-3).all()
    assert (at_found - at_fine).mean() < 0.05
    assert frozen_gradient(module, batch, fine)[1].abs().max() < 0.1


def test_one_starting_point_is_enough_on_real_data(bmmc_multiome):
    """More starting points gain little, and the order of cells does not matter."""
    MultiDGD.setup_mudata(bmmc_multiome, batch_key="batch")
    model = MultiDGD(bmmc_multiome)
    model.train(max_epochs=8, enable_progress_bar=False, enable_model_summary=False)
    cells = np.arange(0, 500, 12)
    batches = list(model.adata_manager.batches(cells, 20))
    found = infer_representations(model.module, batches)
    best = infer_representations(model.module, batches, n_starts=20, tolerance=1e-3)
    whole = join(batches)
    one, many = (cell_losses(model.module, whole, w)[0] for w in (found, best))
    assert (one - many).mean() < 1e-3 * many.mean()
    assert (one < 1.02 * many).all()
    backwards = model.adata_manager.batches(cells[::-1].copy(), 50)
    torch.testing.assert_close(
        infer_representations(model.module, backwards).flip(0), found, atol=1e-4, rtol=1e-4
    )


def test_proteins_are_not_left_in_local_optima(monkeypatch):
    """A count far from its mean may be taken for the other component's outlier, and pull nowhere."""
    torch.manual_seed(0)
    module = MultiDGDModule(
        1,
        {"rna": 30, "adt": 10},
        n_latent=3,
        n_components=2,
        likelihoods={"rna": "poisson", "adt": "protein"},
        covariates={"batch": 2},
        n_continuous=1,
        mixture_weight=1.0,
        decoder_kwargs={"n_units": 16},
    ).eval()
    with torch.no_grad():
        module.mixture.initialize(2 * torch.randn(2, 3), torch.full((2, 3), 4.0))
        module.decoder.head("adt").output.weight.normal_(0, 2)
        protein = module.likelihood("adt")
        protein.initialize(torch.full((10,), 200.0))
        protein.logit_contrast.fill_(5)
        for log_r in (protein.log_r_background, protein.log_r_foreground):
            log_r.fill_(6)
    batch, truth = draw(module, 600, library=2000)
    found = cell_losses(module, batch, infer_representations(module, [batch]))[0]
    monkeypatch.setattr(_infer_representations, "surrogate_module", lambda module: module)
    alone = cell_losses(module, batch, infer_representations(module, [batch]))[0]
    # The lower minimum of the model may lead to a slightly higher optimum of the posterior.
    assert (found <= alone + 0.05).double().mean() > 0.99
    assert (found <= alone * 1.01).all()
    above = [(x > cell_losses(module, batch, truth)[0]).double().mean() for x in (found, alone)]
    assert above[0] < 0.8 * above[1]
