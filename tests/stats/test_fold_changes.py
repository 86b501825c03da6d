"""Posteriors of fold changes against quadrature and simulated counts."""

import numpy as np
import pytest
import torch
from scipy.integrate import trapezoid
from scipy.stats import binom, norm

from multiDGD.stats import FoldChanges, GroupRates, _fold_changes, shrink_variances

MANY = 1e9


def poisson_groups(n=4000, share_changed=0.3, sd=1.0, exposures=(1e5, 4e5), seed=0):
    """Rates of two groups from Poisson counts, and the true fold changes."""
    rng = np.random.default_rng(seed)
    rate = np.exp(rng.normal(-8, 1.5, n))
    truth = np.where(rng.random(n) < share_changed, rng.normal(0, sd, n), 0.0)
    groups = []
    for scale, exposure in zip((2**truth, np.ones(n)), exposures, strict=True):
        x = rng.poisson(rate * scale * exposure)
        groups.append(GroupRates(torch.from_numpy(x / exposure), torch.full((n,), exposure), MANY))
    return groups, truth


def single_feature(x1, x2, exposures=(100.0, 300.0), df=MANY):
    rates = [
        GroupRates(torch.tensor([x / t]).double(), torch.tensor([t]).double(), df)
        for x, t in zip((x1, x2), exposures, strict=True)
    ]
    return FoldChanges(*rates)


@pytest.fixture(scope="module")
def changes():
    groups, truth = poisson_groups()
    return FoldChanges(*groups), truth


@pytest.mark.parametrize(("x1", "x2"), [(3, 40), (0, 12), (9, 0), (25, 60)])
def test_posterior_matches_quadrature_of_binomial_likelihood(x1, x2):
    found = single_feature(x1, x2)
    theta = np.linspace(-10, 10, 20_001)
    odds = 2**theta * 100 / 300
    likelihood = binom.pmf(x1, x1 + x2, odds / (1 + odds))
    none, *slabs = found.weights.double().numpy()
    sds = 0.1 * np.sqrt(2) ** np.arange(len(slabs))
    density = (
        sum(w * norm.pdf(theta, found.mode, s) for w, s in zip(slabs, sds, strict=True))
        * likelihood
    )
    at_none = none * np.interp(found.mode, theta, likelihood)
    total = trapezoid(density, theta) + at_none
    summary = found.summary(delta=0.5)
    mean = (trapezoid(density * theta, theta) + at_none * found.mode) / total
    assert summary["mean"][0] == pytest.approx(mean, rel=1e-3)
    # The limits of 0.52 are half a step of the grid (0.04) beyond delta.
    for limit, sign in ((0.52, 1), (-0.52, -1)):
        beyond = density * (theta * sign > abs(limit))
        name = "proba_up" if sign > 0 else "proba_down"
        assert summary[name][0] == pytest.approx(trapezoid(beyond, theta) / total, abs=5e-3)


def test_probabilities_are_calibrated(changes):
    found, truth = changes
    summary = found.summary(delta=0.25)
    probability = summary["proba_up"] + summary["proba_down"]
    is_changed = np.abs(truth) > 0.25
    for low, high in ((0.0, 0.1), (0.1, 0.5), (0.5, 0.9), (0.9, 1.01)):
        here = (probability >= low) & (probability < high)
        assert here.sum() > 50
        assert is_changed[here].mean() == pytest.approx(probability[here].mean(), abs=0.06)


def test_intervals_have_their_coverage(changes):
    found, truth = changes
    summary = found.summary(0.25, levels=[0.5, 0.9])
    for level, at_least in ((0.5, 0.5), (0.9, 0.88)):
        low = summary[f"confidence_interval_{level}_min"]
        high = summary[f"confidence_interval_{level}_max"]
        assert ((low <= truth) & (truth <= high)).mean() >= at_least
        # For features that certainly change, the coverage is exact, so intervals are not too wide.
        is_certain = summary["proba_up"] + summary["proba_down"] > 0.99
        assert ((low <= truth) & (truth <= high))[is_certain].mean() == pytest.approx(
            level, abs=0.06
        )


def test_prior_matches_simulated_changes(changes):
    found, truth = changes
    shares = found.weights.double().numpy()
    sds = np.r_[0, 0.1 * np.sqrt(2) ** np.arange(len(shares) - 1)]
    assert shares.sum() == pytest.approx(1, abs=1e-4)
    assert (shares * sds**2).sum() == pytest.approx(truth.var(), rel=0.15)
    assert shares[sds < 0.25].sum() == pytest.approx(0.7, abs=0.1)


def test_most_common_change_is_estimated_and_not_called():
    """If some features increase, the shares of all others decrease slightly."""
    (first, second), truth = poisson_groups(share_changed=0.15, sd=2.0)
    shifted = GroupRates(first.rate * 2**-0.2, first.exposure, first.df)
    found = FoldChanges(shifted, second)
    assert found.mode == pytest.approx(-0.2, abs=0.05)
    summary = found.summary(0.25)
    called = summary["proba_up"] + summary["proba_down"] > 0.9
    assert (np.abs(truth - 0.2) > 0.25)[called].mean() > 0.95


def test_swapped_groups_have_opposite_changes():
    (first, second), _ = poisson_groups(300)
    forth, back = (FoldChanges(*g).summary(0.25) for g in ((first, second), (second, first)))
    np.testing.assert_allclose(forth["mean"], -back["mean"], atol=1e-3)
    np.testing.assert_allclose(forth["proba_up"], back["proba_down"], atol=1e-3)


def test_order_and_chunks_of_features_do_not_matter(monkeypatch):
    (first, second), _ = poisson_groups(500)
    order = torch.randperm(500, generator=torch.Generator().manual_seed(0))
    shuffled = [GroupRates(g.rate[order], g.exposure[order], g.df) for g in (first, second)]
    mean = FoldChanges(first, second).summary(0.25)["mean"]
    monkeypatch.setattr(_fold_changes, "_CHUNK_SIZE", 150)
    found = FoldChanges(*shuffled).summary(0.25)["mean"]
    np.testing.assert_allclose(mean[order.numpy()], found, atol=1e-3)


def test_feature_without_counts_has_prior_probability():
    (first, second), _ = poisson_groups(1000)
    for group in (first, second):
        group.rate[0] = 0
    found = FoldChanges(first, second)
    prior = float((found.weights @ found._prior_kg)[found.grid.abs() > 0.26].sum())
    summary = found.summary(0.25)
    assert summary["proba_up"][0] + summary["proba_down"][0] == pytest.approx(prior, abs=1e-3)
    assert np.isfinite(summary["mean"]).all()


def test_fewer_replicates_increase_standard_deviation():
    sd = [
        single_feature(400, 300, df=df).summary(0.0)["std"][0]
        for df in (2.0, 10.0, 100.0, float("inf"))
    ]
    assert sd == sorted(sd, reverse=True)
    assert np.isfinite(sd).all()
    assert sd[0] > 1.1 * sd[-1]


def test_moderated_variances_have_smaller_errors():
    rng = np.random.default_rng(0)
    df = 3
    counts = rng.lognormal(5, 1, 20_000)
    prior_df = 8 * (1 + 10 / counts) ** 2
    truth = (2 + 0.01 * counts) * prior_df / rng.chisquare(prior_df)
    found = truth * rng.chisquare(df, 20_000) / df
    moderated, total_df = shrink_variances(found, df, counts, np.ones(20_000, bool))
    np.testing.assert_allclose(total_df, prior_df + df, rtol=0.1)
    error = [np.square(np.log(v / truth)).mean() for v in (found, moderated)]
    assert error[1] < 0.4 * error[0]
    # The trend with counts reduces errors further than one prior variance for all features.
    flat, _ = shrink_variances(found, df, np.ones(20_000), np.ones(20_000, bool))
    assert error[1] < 0.8 * np.square(np.log(flat / truth)).mean()


def test_equal_variances_are_shrunk_to_one_value():
    rng = np.random.default_rng(1)
    found = 3.0 * rng.chisquare(4, 5000) / 4
    moderated, df = shrink_variances(found, 4, rng.lognormal(5, 1, 5000), np.ones(5000, bool))
    assert np.ptp(np.log(moderated)) < 0.3
    assert (df > 100).all()
    assert np.median(moderated) == pytest.approx(3.0, rel=0.05)


@pytest.mark.parametrize("n", [0, 1])
def test_variances_of_fewer_than_two_features(n):
    moderated, df = shrink_variances(np.full(3, 2.0), 2, np.full(3, 50.0), np.arange(3) < n)
    assert np.isinf(df).all()
    np.testing.assert_allclose(moderated, 2.0 if n else 1.0)


@pytest.mark.parametrize("seed", range(3))
def test_median_of_few_counts_is_not_that_of_a_dominant_feature(seed):
    rng = np.random.default_rng(seed)
    share = rng.lognormal(0, 1, 500)
    share /= share.sum()
    groups = []
    for exposure, dominant in ((9000.0, 0.8), (3000.0, 0.0)):
        rate = share * (1 - dominant)
        rate[0] += dominant
        x = torch.from_numpy(rng.poisson(rate * exposure) / exposure)
        groups.append(GroupRates(x, torch.full((500,), exposure), MANY))
    found = FoldChanges(*groups, reference="median")
    assert found.reference == pytest.approx(np.log2(0.2), abs=0.2)
    assert found.summary(0.25)["proba_up"][0] == pytest.approx(1)


def test_variance_of_few_counts_is_that_of_the_likelihood():
    rng = np.random.default_rng(2)
    counts = np.concatenate([rng.uniform(0.6, 3, 2000), rng.lognormal(5, 1, 2000)])
    known = counts > 10
    # The typical variance of frequent features is below the mean variance.
    between = 0.01 * counts * rng.lognormal(-1, np.sqrt(2), 4000)
    df = 1 / (1 / 20 + 1 / (2 * counts))
    found = (1 + known * between) * rng.chisquare(df) / df
    moderated, _ = shrink_variances(found, df, counts, known)
    assert np.median(moderated[~known]) == pytest.approx(1, rel=0.15)
    assert np.median(moderated[known]) < np.median((1 + between)[known]) * 1.2


def test_variance_of_a_feature_below_the_required_counts_is_moderated():
    rng = np.random.default_rng(3)
    counts = rng.lognormal(4, 1, 2000)
    found = rng.lognormal(0, 1, 2000)
    counts[0], found[0] = 5.0, 50.0
    moderated, df = shrink_variances(found, 8, counts, counts > 10)
    typical = np.median(moderated[(counts > 3) & (counts < 8)][1:])
    assert 1.5 * typical < moderated[0] < 50
    assert np.isfinite(df[0])


def test_limit_of_the_prior_degrees_of_freedom():
    found, counts = np.full(50, 2.0), np.full(50, 40.0)
    known = np.ones(50, bool)
    assert np.isinf(shrink_variances(found, 3, counts, known)[1]).all()
    df = shrink_variances(found, 3, counts, known, max_prior_df=2)[1]
    np.testing.assert_allclose(df, 2 * 1.25**2 + 3)
    # Also if the features do not suffice for an estimate.
    df = shrink_variances(found, 3, counts, ~known, max_prior_df=2)[1]
    np.testing.assert_allclose(df, 2 * 1.25**2)
