"""Rates of groups against ratios of counts, the bootstrap and known variance between samples."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import sparse
from tests.toy import toy_mudata

from multiDGD import MultiDGD
from multiDGD.model.differential._rate_sums import rate_sums

N_CELLS = 400


@pytest.fixture(scope="module")
def model():
    mdata = toy_mudata(N_CELLS, (12, 15))
    rng = np.random.default_rng(0)
    # Cells differ by more than the variance of the counts.
    level = rng.gamma(2.0, 0.5, (N_CELLS, 12)) * rng.lognormal(0, 0.5, N_CELLS)[:, None]
    x = rng.poisson(level * np.linspace(0.5, 8, 12)).astype(np.float32)
    x[:, 0] += 1
    mdata["rna"].X = sparse.csr_matrix(x)
    MultiDGD.setup_mudata(mdata, batch_key="batch")
    found = MultiDGD(mdata, n_latent=4)
    found.train(max_epochs=3, enable_progress_bar=False, accelerator="cpu")
    return found


def sums(model, strata, cells=None, batch_size=64, **kwargs):
    cells = np.arange(N_CELLS) if cells is None else cells
    strata = torch.as_tensor(strata)
    with torch.no_grad():
        decoded = model._represented_batches(model.adata_manager, list(cells), batch_size)
        n_strata = int(strata.max()) + 1
        return rate_sums(model.module, decoded, "rna", strata, n_strata, **kwargs)


def counts_of(model):
    return model.adata["rna"].X.toarray().astype(float)


def test_poisson_rates_are_ratios_for_any_decoder():
    mdata = toy_mudata(N_CELLS, (12, 15))
    rng = np.random.default_rng(3)
    # With unequal library sizes, the rate would depend on the decoder.
    x = rng.multinomial(60, rng.dirichlet(np.ones(12)), N_CELLS)
    mdata["rna"].X = sparse.csr_matrix(x.astype(np.float32))
    MultiDGD.setup_mudata(mdata)
    model = MultiDGD(mdata, n_latent=3, likelihoods="poisson")
    model.train(max_epochs=1, enable_progress_bar=False, accelerator="cpu")
    with torch.no_grad():
        model.module.decoder.head("rna").output.bias.add_(torch.randn(12))
    found = sums(model, np.arange(N_CELLS) % 2)
    for group in (0, 1):
        expected = x[group::2].sum(0) / x[group::2].sum()
        np.testing.assert_allclose(found.rates(group).rate, expected, rtol=1e-4)


def test_raw_sums_match_the_counts(model):
    x = counts_of(model)
    strata = np.arange(N_CELLS) % 3
    found = sums(model, strata)
    for group in range(3):
        here = x[strata == group]
        np.testing.assert_allclose(found.counts[group, 0], here.sum(0), rtol=1e-5)
        np.testing.assert_allclose(found.counts[group, 1], (here > 0).sum(0))
        shares = (here / here.sum(1, keepdims=True)).sum(0)
        np.testing.assert_allclose(found.counts[group, 2], shares, rtol=1e-4)
        assert found.n[group] == len(here)


def test_minibatches_order_and_merging_do_not_matter(model):
    strata = np.arange(N_CELLS) % 4
    whole = sums(model, strata)
    order = np.random.default_rng(0).permutation(N_CELLS)
    other = sums(model, strata[order], cells=order, batch_size=33)
    merged = whole.merged([[0, 2], [1, 3]])
    halves = sums(model, np.arange(N_CELLS) % 2)
    for found, expected in ((other, whole), (merged, halves)):
        for a, b in zip(vars(found).values(), vars(expected).values(), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_variance_matches_the_bootstrap(model):
    found = sums(model, np.zeros(N_CELLS, int)).rates(0)
    rng = np.random.default_rng(0)
    each = sums(model, np.arange(N_CELLS))
    draws = []
    for _ in range(300):
        cells = rng.integers(0, N_CELLS, N_CELLS)
        draws.append(each.merged([cells.tolist()]).rates(0).rate)
    expected = torch.stack(draws).var(0)
    np.testing.assert_allclose(found.rate / found.exposure, expected, rtol=0.35)
    ratio = (found.rate / found.exposure / expected).log().mean().exp()
    assert 0.85 < ratio < 1.15


def test_weights_of_zero_and_one_select_cells(model):
    chosen = np.arange(N_CELLS) < 250
    weights = torch.from_numpy(chosen.astype(np.float32))
    weighted = sums(model, np.zeros(N_CELLS, int), weights=weights).rates(0)
    alone = sums(model, np.zeros(250, int), cells=np.flatnonzero(chosen)).rates(0)
    np.testing.assert_allclose(weighted.rate, alone.rate, rtol=1e-4)
    np.testing.assert_allclose(weighted.exposure, alone.exposure, rtol=1e-3)
    torch.testing.assert_close(weighted.df, alone.df, rtol=1e-3, atol=0)
    # Fewer counts than cells determine a variance less well.
    assert (weighted.df < 249).all()


def test_cells_without_a_stratum_are_ignored(model):
    strata = np.where(np.arange(N_CELLS) < 100, 0, -1)
    found = sums(model, strata)
    alone = sums(model, np.zeros(100, int), cells=np.arange(100))
    np.testing.assert_allclose(found.first, alone.first, rtol=1e-4, atol=1e-5)


def test_variance_between_samples_reduces_exposure(model):
    """The exposure of random samples equals that of cells; samples that differ have less."""
    rng = np.random.default_rng(0)
    at_random = sums(model, rng.integers(0, 20, N_CELLS))
    cells = at_random.merged([list(range(20))]).rates(0)
    found = at_random.sample_rates([range(10), range(10, 20)])
    both = sum(g.exposure for g in found)
    assert 0.6 < float((both / cells.exposure).log().mean().exp()) < 1.6

    x = counts_of(model)
    first = x[:, 5] / x.sum(1)
    sorted_cells = np.argsort(np.argsort(first)) // (N_CELLS // 20)
    apart = sums(model, sorted_cells)
    groups = [range(0, 20, 2), range(1, 20, 2)]
    found = apart.sample_rates(groups)
    assert float(found[0].exposure[5] / cells.exposure[5]) < 0.2


def test_feature_without_counts_in_a_group_has_a_finite_variance(model):
    """Its decoded shares differ from 0, so that it has a deviation without any count."""
    samples = sums(model, np.arange(N_CELLS) % 6)
    groups = [range(3), range(3, 6)]
    complete = samples.sample_rates(groups)
    first = samples.first.clone()
    # The residuals of feature 0 outweigh the shares in the first group: its rate is 0 there.
    first[:3, 1, 0] = -2 * first[:3, 0, 0] * first[:3, 2, 0] / samples.weight[:3]
    found = replace(samples, first=first).sample_rates(groups)
    assert found[0].rate[0] == 0 < complete[0].rate[0]
    for group, expected in zip(found, complete, strict=True):
        assert group.exposure[0] > 0.05 * expected.exposure[0]
        # That of other features hardly depends on it.
        np.testing.assert_allclose(group.exposure[1:], expected.exposure[1:], rtol=0.1)
