"""Information of counts for discrimination, against closed forms."""

import pytest
import torch

from multiDGD import nn
from multiDGD.stats import discrimination

MEANS = torch.tensor([1e-6, 1e-3, 0.2, 1.0, 7.0, 300.0], dtype=torch.float64)


def pairs():
    mean1, mean2 = torch.meshgrid(MEANS, MEANS, indexing="ij")
    near = (mean1 / mean2).log2().abs() < 10
    return mean1[near], mean2[near]


@pytest.mark.parametrize("r", [1.0, 2.5, 40.0])
def test_negative_binomial(r):
    mean1, mean2 = pairs()
    expected = mean1 * (mean1 / mean2).log() - (mean1 + r) * ((mean1 + r) / (mean2 + r)).log()
    found = discrimination(mean1, mean2, lambda mean: mean * r / (mean + r))
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-12)


def test_poisson():
    mean1, mean2 = pairs()
    expected = mean1 * (mean1 / mean2).log() - (mean1 - mean2)
    found = discrimination(mean1, mean2, nn.Poisson(1).fisher)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-12)


def test_small_changes_of_any_likelihood_have_half_of_the_fisher_information():
    mean = torch.tensor([[0.5, 2.0, 5.0]], dtype=torch.float64)
    change = 1e-3
    for likelihood in (nn.NegativeBinomial(3), nn.Poisson(3), nn.Bernoulli(3)):
        found = discrimination(mean * (1 + change), mean, likelihood.double().fisher)
        expected = change**2 / 2 * likelihood.fisher(mean)
        torch.testing.assert_close(found, expected, rtol=5e-3, atol=0.0)


def test_equal_means_have_none():
    mean = MEANS[None].float()
    assert (discrimination(mean, mean, nn.Poisson(1).fisher) == 0).all()
