"""Posterior means of rates against numerical integration."""

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from multiDGD.nn import get_likelihood


def by_integration(count, components):
    """Posterior mean of a Poisson rate under a mixture of gamma distributions."""

    def prior(rate):
        return sum(w * stats.gamma(r, scale=mean / r).pdf(rate) for w, mean, r in components)

    def moment(power):
        weight = lambda rate: rate**power * stats.poisson(rate).pmf(count) * prior(rate)
        return integrate.quad(weight, 0, 400, limit=2000, points=[1, 5, 20, 60])[0]

    return moment(1) / moment(0)


@pytest.mark.parametrize("count", [0.0, 3.0, 40.0])
def test_negative_binomial(count):
    likelihood = get_likelihood("nb")(2, dispersion=2.5)
    found = likelihood.posterior_mean(torch.tensor([[4.0, 10.0]]), torch.full((1, 2), count))
    expected = [by_integration(count, [(1, mean, 2.5)]) for mean in (4.0, 10.0)]
    np.testing.assert_allclose(found.detach()[0], expected, rtol=1e-4)


@pytest.mark.parametrize("count", [0.0, 6.0, 40.0])
def test_protein(count):
    protein = get_likelihood("protein")(1, level=8.0)
    mean = torch.tensor([[9.0]])
    with torch.no_grad():
        both = protein._components_at(mean.log())
    components = [
        (float(both.log_weight[k].exp()), float(both.log_mean[k].exp()), float(both.r[k]))
        for k in range(2)
    ]
    found = protein.posterior_mean(mean, torch.full((1, 1), count))
    assert float(found.detach()) == pytest.approx(by_integration(count, components), rel=1e-3)


def test_without_overdispersion_counts_do_not_matter():
    mean = torch.tensor([[4.0, 10.0]])
    for name in ("poisson", "bernoulli"):
        found = get_likelihood(name)(2).posterior_mean(mean, torch.full((1, 2), 30.0))
        torch.testing.assert_close(found, mean)


def test_missing_modalities_and_large_dispersions():
    likelihood = get_likelihood("nb")(1, dispersion=1e7)
    assert float(likelihood.posterior_mean(torch.zeros(1, 1), torch.zeros(1, 1)).detach()) == 0
    near = likelihood.posterior_mean(torch.tensor([[5.0]]), torch.tensor([[50.0]]))
    assert float(near.detach()) == pytest.approx(5, rel=1e-3)
