"""Moments of log-likelihoods against sums over all counts."""

import numpy as np
import pytest
import torch

from multiDGD.inference import LogProbMoments
from multiDGD.nn import Poisson, get_likelihood

N_FEATURES = 12


def make(name):
    likelihood = get_likelihood(name)(N_FEATURES).requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    for parameter in likelihood.parameters():
        parameter.add_(torch.randn(N_FEATURES, generator=generator))
    return likelihood


def summed(likelihood, log_mean):
    """Mean and variance of each feature by summation over all counts."""
    last = min(likelihood.max_count, 300 + 100 * np.exp(log_mean))
    counts = torch.arange(0, last + 1, dtype=torch.float64)
    columns = torch.arange(N_FEATURES).repeat(len(counts))
    values = counts.repeat_interleave(N_FEATURES)
    ratio = likelihood.log_ratio_to_zero(values, torch.full_like(values, log_mean), columns)
    mean = torch.full((1, N_FEATURES), np.exp(log_mean), dtype=torch.float64)
    log_prob = likelihood.log_prob_zero(mean) + ratio.where(values > 0, 0).view(-1, N_FEATURES)
    probability = log_prob.exp()
    assert (probability.sum(0) - 1).abs().max() < 1e-3
    expected = (probability * log_prob).sum(0)
    return expected.sum(), (probability * (log_prob - expected).square()).sum()


@pytest.mark.parametrize("name", ["nb", "poisson", "bernoulli", "protein"])
@pytest.mark.parametrize("log_mean", [-9.06, -2.31, 0.06, 1.69, 4.44, 6.9])
def test_moments_are_those_of_all_counts(name, log_mean):
    if name == "bernoulli" and log_mean > 2:
        pytest.skip("the count is 1")
    likelihood = make(name)
    mean_nf = torch.full((3, N_FEATURES), np.exp(log_mean), dtype=torch.float32)
    for found, expected in zip(
        LogProbMoments(likelihood)(mean_nf), summed(likelihood, log_mean), strict=True
    ):
        np.testing.assert_allclose(found, expected.expand(3), rtol=3e-3, atol=1e-3)


def test_the_table_covers_what_is_asked_for_later():
    likelihood = make("nb")
    mean_nf = torch.exp(torch.linspace(-13, 9, 5 * N_FEATURES)).view(5, N_FEATURES)
    at_once = torch.stack(LogProbMoments(likelihood)(mean_nf))
    moments = LogProbMoments(likelihood)
    for order in (range(5), reversed(range(5))):
        for i in order:
            alone = torch.stack(moments(mean_nf[i : i + 1]))[:, 0]
            torch.testing.assert_close(alone, at_once[:, i])
    assert moments(mean_nf[:0])[0].shape == (0,)


def test_a_mean_of_zero_has_no_variance():
    for moment in LogProbMoments(make("poisson"))(torch.zeros(2, N_FEATURES)):
        np.testing.assert_array_equal(moment, 0)


def test_default_dtype_does_not_matter():
    mean = torch.tensor([[0.5, 2.0]])
    expected = LogProbMoments(Poisson(2))(mean)
    torch.set_default_dtype(torch.float64)
    try:
        found = LogProbMoments(Poisson(2))(mean)
    finally:
        torch.set_default_dtype(torch.float32)
    torch.testing.assert_close(found, expected)
