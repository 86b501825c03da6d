"""Marginal likelihoods, compared to numerical quadrature of the same integral."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from multiDGD.inference import (
    Laplace,
    evidence_lower_bound,
    infer_representations,
    laplace,
    marginal_likelihood,
)
from multiDGD.inference._prior_draws import prior_draws
from multiDGD.module import MultiDGDModule, take_cells
from multiDGD.nn import Counts

N = 6
LIBRARIES = {
    "rna": [0.0, 2.0, 10.0, 60.0, 100.0, 300.0],
    "prot": [0.0, 0.0, 5.0, 30.0, 0.0, 100.0],
}


def make(n_latent=2, likelihoods=None, **kwargs):
    """A module of two modalities, and cells with few and many counts or without a modality."""
    torch.manual_seed(0)
    module = MultiDGDModule(
        1,
        {"rna": 12, "prot": 5},
        n_latent=n_latent,
        n_covariate_latent=1,
        likelihoods=likelihoods or {"prot": "protein"},
        decoder_kwargs={"n_units": 8},
        **{"n_components": 3, **kwargs},
    ).double()
    for mixture in (module.mixture, *module.mixtures_of_covariates):
        mixture.initialize(torch.randn_like(mixture.mean))
        mixture.weight.data.normal_()
        mixture.neglogvar.data.normal_(1, 0.5)
    counts = {}
    for m in module.modalities:
        likelihood = module.likelihood(m)
        share = torch.rand(N, likelihood.n_features).double()
        library = torch.tensor(LIBRARIES[m]).double()
        x = torch.poisson(library[:, None] * share / share.sum(1, keepdim=True))
        counts[m] = Counts.from_dense(x)
    batch = {
        "cells": torch.arange(N),
        "counts": counts,
        "labels": torch.full((N,), -1),
        "covariates": torch.zeros(N, len(module.covariates), dtype=torch.int64),
        "continuous": torch.zeros(N, 0).double(),
    }
    return module, batch


def posterior_of(module, batch):
    return laplace(module, batch, infer_representations(module, [batch]).double())


def generators(n=N, seed=0):
    return [np.random.default_rng([seed, i]) for i in range(n)]


@torch.no_grad()
def quadrature(module, batch, n_points, half_width=6.0):
    """Integral over one or two dimensions by the trapezoidal rule, for each cell."""
    d = module.n_representation
    axis = torch.linspace(-half_width, half_width, n_points).double()
    grid = torch.cartesian_prod(*[axis] * d).view(-1, d)
    found = []
    for i in range(N):
        values = []
        for part in grid.split(20_000):
            many = take_cells(batch, torch.full((len(part),), i))
            output = module.objective(many, part)
            terms = [*output.reconstruction_loss.values(), *output.kl_local.values()]
            values.append(-torch.stack(terms).sum(0))
        found.append(torch.cat(values).logsumexp(0) + d * math.log(axis[1] - axis[0]))
    return torch.stack(found)


CASES = {
    "one dimension": {"n_latent": 1},
    "two dimensions": {"n_latent": 2},
    "Poisson and Bernoulli": {
        "n_latent": 1,
        "likelihoods": {"rna": "poisson", "prot": "bernoulli"},
    },
    "classes": {"n_latent": 1, "n_labels": 3, "n_components_per_class": 2},
    "a covariate": {"n_latent": 1, "covariates": {"batch": 3}},
}


@pytest.fixture(scope="module", params=CASES.values(), ids=CASES)
def case(request):
    module, batch = make(**request.param)
    n_points = {1: 10_001, 2: 401}[module.n_representation]
    expected = quadrature(module, batch, n_points)
    return module, batch, posterior_of(module, batch), expected


def test_quadrature(case):
    module, batch, posterior, expected = case
    n_samples = 5000
    found = marginal_likelihood(module, batch, posterior, generators(), n_samples)
    error = ((1 / found.effective_share - 1) / n_samples).sqrt()
    assert error.max() < 0.05
    assert ((found.log_prob - expected).abs() < 4 * error + 1e-6).all()
    assert ((0 < found.effective_share) & (found.effective_share <= 1)).all()


def test_few_draws_are_unbiased(case):
    """The mean of many estimates of p(x) from 15 draws each, one of them from the prior."""
    module, batch, posterior, expected = case
    n = 400
    many = take_cells(batch, torch.arange(N).repeat(n))
    repeated = Laplace(posterior.mean.repeat(n, 1), posterior.factor.repeat(n, 1, 1))
    found = marginal_likelihood(module, many, repeated, generators(n * N), 15).log_prob
    ratio = (found.view(n, N) - expected).exp()
    assert ((ratio.mean(0) - 1).abs() < 4 * ratio.std(0) / math.sqrt(n) + 1e-6).all()


def test_elbo_is_a_lower_bound(case):
    module, batch, posterior, expected = case
    elbo = evidence_lower_bound(module, batch, posterior, generators(), 5000)
    assert (elbo < expected + 0.02).all()
    # The posterior of many counts is nearly normal, so that the bound is nearly tight.
    assert elbo[-1] > expected[-1] - 0.5


def test_a_cell_without_counts_has_probability_one(case):
    module, batch, posterior, _ = case
    found = marginal_likelihood(module, batch, posterior, generators(), 2000).log_prob
    assert float(found[0]) == pytest.approx(0, abs=0.1)


def test_a_narrow_proposal_is_detected_and_still_finite(case):
    module, batch, posterior, expected = case
    narrow = Laplace(posterior.mean, 30 * posterior.factor)
    found = marginal_likelihood(module, batch, narrow, generators(), 2000)
    assert found.log_prob.isfinite().all()
    wide = marginal_likelihood(module, batch, posterior, generators(), 2000)
    assert (found.effective_share < 0.5 * wide.effective_share)[1:].all()


def test_minibatches_and_order(case):
    module, batch, posterior, _ = case
    for estimate in (marginal_likelihood, evidence_lower_bound):
        whole = estimate(module, batch, posterior, generators(), 230)
        backwards = torch.arange(N).flip(0)
        reverse = estimate(
            module,
            take_cells(batch, backwards),
            Laplace(posterior.mean[backwards], posterior.factor[backwards]),
            generators()[::-1],
            230,
        )
        one = Laplace(posterior.mean[2:3], posterior.factor[2:3])
        alone = estimate(module, take_cells(batch, torch.tensor([2])), one, generators()[2:3], 230)
        whole, reverse, alone = (
            x if isinstance(x, torch.Tensor) else x.log_prob for x in (whole, reverse, alone)
        )
        torch.testing.assert_close(reverse.flip(0), whole)
        torch.testing.assert_close(alone, whole[2:3])


@pytest.mark.parametrize("df", [3.0, math.inf])
def test_density_of_the_approximation(df):
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(2, 3, 3, generator=generator).double()
    precision = root @ root.mT + torch.eye(3)
    posterior = Laplace(
        torch.randn(2, 3, generator=generator).double(), torch.linalg.cholesky(precision)
    )
    w = torch.randn(4, 2, 3, generator=generator).double()
    for i in range(2):
        density = stats.multivariate_t(posterior.mean[i], posterior.covariance[i], df=df)
        np.testing.assert_allclose(posterior.log_prob(w, df)[:, i], density.logpdf(w[:, i]))


def test_prior_draws_have_the_prior_moments():
    module, batch = make(n_labels=3, n_components_per_class=2, covariates={"batch": 3})
    two = take_cells(batch, torch.tensor([0, 1]))
    two = {**two, "labels": torch.tensor([-1, 1]), "covariates": torch.tensor([[-1], [2]])}
    n, d = 100_000, module.n_representation
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        w = prior_draws(
            module,
            two,
            torch.randn(n, 2, d, generator=generator).double(),
            torch.rand(n, 2, 2, generator=generator).double(),
        )
        pi = module.mixture.weight.softmax(0)
        within = module.mixture.weight[2:4].softmax(0)
        batch_mixture = module.mixtures_of_covariates[0]
        expected = [
            [*(pi @ module.mixture.mean), *(batch_mixture.weight.softmax(0) @ batch_mixture.mean)],
            [*(within @ module.mixture.mean[2:4]), *batch_mixture.mean[2]],
        ]
        np.testing.assert_allclose(w.mean(0), np.array(expected, float), atol=0.02)
        sd = batch_mixture.stddev[2, 0]
        assert float(w[:, 1, -1].std()) == pytest.approx(float(sd), rel=0.02)


@pytest.mark.parametrize("estimate", [marginal_likelihood, evidence_lower_bound])
def test_number_of_draws(estimate):
    module, batch = make()
    with pytest.raises(ValueError, match="`n_samples`.*0"):
        estimate(module, batch, posterior_of(module, batch), generators(), 0)
