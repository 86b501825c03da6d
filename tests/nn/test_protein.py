"""Protein counts with background."""

import numpy as np
import pytest
import scipy.stats
import torch

from multiDGD.nn import Counts, get_likelihood

Protein = get_likelihood("protein")


@pytest.fixture
def protein():
    found = Protein(5).double()
    for number, parameter in enumerate(found.parameters()):
        parameter.data.add_(torch.linspace(-1, 1, 5, dtype=torch.float64).roll(number))
    return found


def scipy_pmf(protein, x, mean):
    share = protein.background_share.sigmoid().detach().numpy()
    level = protein.background_level.sigmoid().detach().numpy()
    parts = [
        (share, level, protein.log_r_background),
        (1 - share, (1 - share * level) / (1 - share), protein.log_r_foreground),
    ]
    found = 0
    for weight, factor, log_r in parts:
        r = log_r.exp().detach().numpy()
        found = found + weight * scipy.stats.nbinom.pmf(x, r, r / (r + factor * mean))
    return found


def test_value_is_scipys_mixture(protein):
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(rng.normal(size=(6, 5)))
    x = rng.poisson(3, (6, 5)).astype(float)
    x[1] = 0
    x[2, 0] = 400
    mean = protein.mean(logits, torch.from_numpy(x.sum(1))).numpy()
    expected = np.log(scipy_pmf(protein, x, mean)).sum(1)
    found = protein.log_prob(logits, torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_mean_of_the_mixture_is_the_mean(protein):
    x = np.arange(20_000)[:, None]
    for mean in (0.1, 5.0, 80.0):
        p = scipy_pmf(protein, x, mean)
        np.testing.assert_allclose(p.sum(0), 1, rtol=1e-6)
        np.testing.assert_allclose((x * p).sum(0), mean, rtol=1e-4)


def test_gradients_by_finite_differences(protein):
    logits = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    counts = Counts.from_dense(torch.poisson(torch.full((4, 5), 2.0)).double())
    assert torch.autograd.gradcheck(
        lambda a, *_: protein.log_prob(a, counts), (logits, *protein.parameters())
    )


def test_samples_are_of_the_mixture(protein):
    torch.manual_seed(0)
    x = protein.sample(torch.full((100_000, 5), 4.0, dtype=torch.float64)).detach().numpy()
    np.testing.assert_allclose(x.mean(0), 4, rtol=0.03)
    for count in (0, 1, 5):
        expected = scipy_pmf(protein, np.full((1, 5), count), 4.0)[0]
        np.testing.assert_allclose((x == count).mean(0), expected, atol=0.005)


def test_information_is_finite_and_bounds_the_exact_one(protein):
    mean = torch.tensor([1e-3, 0.3, 2.0, 15.0, 40.0], dtype=torch.float64)
    log_mean = mean.log().requires_grad_()
    columns = torch.arange(5)
    information = torch.zeros(5, dtype=torch.float64)
    for count in range(2000):
        value = protein.log_prob_zero(log_mean.exp()[None])[0]
        if count:
            x = torch.full((5,), float(count), dtype=torch.float64)
            value = value + protein.log_ratio_to_zero(x, log_mean, columns)
        (score,) = torch.autograd.grad(value.sum(), log_mean)
        information += value.detach().exp() * score.square()
    found = protein.fisher(mean[None])[0].detach()
    assert (found >= information * (1 - 1e-6)).all()
    assert (found <= 3 * information).all()
    assert protein.fisher(torch.tensor([[0.0, 1e-30, 1e6, 1.0, 1.0]])).isfinite().all()


def test_extreme_means_and_no_counts():
    protein = Protein(3)
    logits = torch.tensor([[0.0, -69.0, 0.0]], requires_grad=True)
    value = protein.log_prob(logits, torch.tensor([[1e6, 1.0, 0.0]]))
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    assert value.isfinite().all()
    assert gradient.isfinite().all()
    assert (protein.log_prob(logits, torch.zeros(1, 3)) == 0).all()


def test_in_inference_mode():
    protein, x = Protein(3), torch.tensor([[4.0, 1.0, 0.0]])
    expected = protein.log_prob(torch.zeros(1, 3), x).detach()
    with torch.inference_mode():
        torch.testing.assert_close(protein.log_prob(torch.zeros(1, 3), x), expected)


def test_background_is_found_again():
    """Fitted to bimodal counts it beats the negative binomial, and by what it should."""
    torch.manual_seed(0)
    n = 3000
    logits = torch.zeros(n, 2, dtype=torch.float64)
    is_background = torch.rand(n) < 0.4
    rate = torch.where(is_background, 3.0, 60.0).double()
    x = torch.stack([torch.poisson(rate), torch.poisson(torch.full((n,), 40.0).double())], 1)
    library = torch.full((n,), 76.0, dtype=torch.float64)
    counts = Counts.from_dense(x, library)
    values = {}
    for name in ("nb", "protein"):
        likelihood = get_likelihood(name)(2).double()
        optimizer = torch.optim.Adam(likelihood.parameters(), lr=0.1)
        for _ in range(150):
            optimizer.zero_grad()
            loss = -likelihood.log_prob(logits, counts).mean()
            loss.backward()
            optimizer.step()
        values[name] = loss.item()
    assert values["protein"] < values["nb"] - 0.5
    share = likelihood.background_share.sigmoid()[0].item()
    level = likelihood.background_level.sigmoid()[0].item()
    assert share == pytest.approx(0.4, abs=0.05)
    assert level == pytest.approx(3 / 38, abs=0.03)
