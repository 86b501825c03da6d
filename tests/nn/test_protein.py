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


def scipy_parts(protein, x, mean):
    """Probability of counts by component: background, then foreground."""
    mean = np.maximum(mean, 1e-15)  # for cells without counts
    b, s, a = (
        x.detach().numpy() for x in (protein.log_level.exp(), protein.sharpness, protein.contrast)
    )
    t = (mean / b) ** s
    parts = [
        (1 / (1 + t**2), mean / (1 + a * t), protein.log_r_background),
        (t**2 / (1 + t**2), mean + a * mean / (t * (1 + a * t)), protein.log_r_foreground),
    ]
    return [
        weight * scipy.stats.nbinom.pmf(x, r, r / (r + m))
        for weight, m, log_r in parts
        for r in (log_r.exp().detach().numpy(),)
    ]


def scipy_pmf(protein, x, mean):
    return sum(scipy_parts(protein, x, mean))


def with_rational_weights(protein):
    """Set sharpness and contrast to 1, where mixture weights and means are simple fractions."""
    protein.logit_sharpness.data.fill_(-torch.inf)
    protein.logit_contrast.data.fill_(torch.inf)
    return protein


def test_log_prob_equals_scipy(protein):
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(rng.normal(size=(6, 5)))
    x = rng.poisson(3, (6, 5)).astype(float)
    x[1] = 0
    x[2, 0] = 400
    mean = protein.mean(logits, torch.from_numpy(x.sum(1))).numpy()
    expected = np.log(scipy_pmf(protein, x, mean)).sum(1)
    found = protein.log_prob(logits, torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_protein_without_contrast_is_a_negative_binomial():
    protein, nb = Protein(3).double(), get_likelihood("nb")(3).double()
    protein.logit_contrast.data.fill_(-torch.inf)
    for log_r in (protein.log_r_background, protein.log_r_foreground):
        log_r.data.copy_(nb.dispersion.log())
    logits, x = torch.randn(4, 3).double(), torch.poisson(torch.full((4, 3), 20.0)).double()
    torch.testing.assert_close(protein.log_prob(logits, x), nb.log_prob(logits, x))


def test_mixture_has_the_given_mean(protein):
    x = np.arange(20_000)[:, None]
    for mean in (0.1, 5.0, 80.0):
        p = scipy_pmf(protein, x, mean)
        np.testing.assert_allclose(p.sum(0), 1, rtol=1e-6)
        np.testing.assert_allclose((x * p).sum(0), mean, rtol=1e-4)


def test_gradients_equal_finite_differences(protein):
    logits = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    counts = Counts.from_dense(torch.poisson(torch.full((4, 5), 2.0)).double())
    assert torch.autograd.gradcheck(
        lambda a, *_: protein.log_prob(a, counts), (logits, *protein.parameters())
    )


def test_samples_follow_the_mixture(protein):
    torch.manual_seed(0)
    x = protein.sample(torch.full((100_000, 5), 4.0, dtype=torch.float64)).detach().numpy()
    np.testing.assert_allclose(x.mean(0), 4, rtol=0.03)
    for count in (0, 1, 5):
        expected = scipy_pmf(protein, np.full((1, 5), count), 4.0)[0]
        np.testing.assert_allclose((x == count).mean(0), expected, atol=0.005)


def test_fisher_is_finite_and_an_upper_bound(protein):
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


def test_log_prob_in_inference_mode():
    protein, x = Protein(3), torch.tensor([[4.0, 1.0, 0.0]])
    expected = protein.log_prob(torch.zeros(1, 3), x).detach()
    with torch.inference_mode():
        torch.testing.assert_close(protein.log_prob(torch.zeros(1, 3), x), expected)


def test_foreground_by_hand():
    """Level 10, mean 20: weights 0.2 and 0.8, means 20/3 and 70/3; r = 1 is geometric."""
    protein = with_rational_weights(Protein(1, level=10.0).double())
    protein.log_r_background.data.zero_()
    protein.log_r_foreground.data.zero_()
    mean = torch.tensor([[20.0]], dtype=torch.float64)
    background, foreground = 20 / 3, 70 / 3
    assert protein.foreground_probability(mean).item() == pytest.approx(0.8)
    assert protein.foreground_mean(mean).item() == pytest.approx(0.8 * foreground)
    for x in (0, 3, 60):
        one = 0.2 * (1 / (1 + background)) * (background / (1 + background)) ** x
        other = 0.8 * (1 / (1 + foreground)) * (foreground / (1 + foreground)) ** x
        found = protein.foreground_probability(mean, torch.tensor([[float(x)]]).double())
        assert found.item() == pytest.approx(other / (one + other), rel=1e-5)


def test_foreground_probability_follows_bayes_rule(protein):
    rng = np.random.default_rng(0)
    mean = rng.lognormal(2, 1, (40, 5))
    x = rng.poisson(mean).astype(float)
    background, foreground = scipy_parts(protein, x, mean)
    found = protein.foreground_probability(torch.from_numpy(mean), torch.from_numpy(x))
    np.testing.assert_allclose(found.detach(), foreground / (background + foreground), rtol=1e-8)


def test_expected_foreground_probability_is_the_prior():
    """The posterior probability, averaged over counts, equals the prior."""
    protein = with_rational_weights(Protein(1, level=10.0).double())
    mean = torch.full((1, 1), 14.0, dtype=torch.float64)
    x = torch.arange(4000, dtype=torch.float64)[:, None]
    p = torch.from_numpy(scipy_pmf(protein, x.numpy(), 14.0))
    posterior = protein.foreground_probability(mean.expand_as(x), x)
    assert (p * posterior).sum().item() == pytest.approx(14**2 / (10**2 + 14**2), rel=1e-5)
    assert (posterior.diff(dim=0) >= 0).all()


def test_foreground_and_background_sum_to_the_mean(protein):
    mean = torch.logspace(-3, 4, 40, dtype=torch.float64)[:, None].expand(40, 5)
    foreground = protein.foreground_probability(mean)
    t = (mean / protein.log_level.exp()) ** protein.sharpness
    background = (1 - foreground) * mean / (1 + protein.contrast * t)
    torch.testing.assert_close(protein.foreground_mean(mean) + background, mean)


def test_foreground_requires_a_background():
    for name in ("nb", "poisson", "bernoulli"):
        likelihood = get_likelihood(name)(2)
        assert not likelihood.has_background
        for method in (likelihood.foreground_probability, likelihood.foreground_mean):
            with pytest.raises(NotImplementedError, match="no background"):
                method(torch.ones(1, 2))
    with pytest.raises(ValueError, match="`level`"):
        Protein(2, level=0.0)


def test_fit_recovers_background_and_dispersions():
    """A fit separates cells with and without a protein.

    It recovers both dispersions and fits better than a single dispersion does.
    """
    torch.manual_seed(0)
    n = 2000
    has = torch.rand(n, 1) < 0.4
    mean = torch.where(has, 200.0, 5.0).expand(n, 2).double()
    draw = torch.distributions.Gamma
    background = torch.poisson(draw(1.0, 1.0).sample((n, 2)) * 5)
    foreground = torch.poisson(draw(30.0, 30.0).sample((n, 2)) * 200)
    x = torch.where(has, foreground, background).double()
    library = mean.sum(1)
    counts, values = Counts.from_dense(x, library), {}
    for name in ("nb", "protein"):
        likelihood = get_likelihood(name)(2).double()
        likelihood.initialize(x.mean(0))
        optimizer = torch.optim.Adam(likelihood.parameters(), lr=0.1)
        for _ in range(150):
            optimizer.zero_grad()
            loss = -likelihood.log_prob(mean.log(), counts).mean()
            loss.backward()
            optimizer.step()
        values[name] = loss.item()
    assert values["protein"] < values["nb"] - 0.3
    level = likelihood.log_level.exp().detach()
    assert ((level > 5) & (level < 200)).all()
    found = likelihood.foreground_probability(mean, x) > 0.5
    assert (found == has).double().mean() > 0.95
    r = likelihood.log_r_background.exp(), likelihood.log_r_foreground.exp()
    assert r[0].tolist() == pytest.approx([1, 1], abs=0.4)
    assert r[1].tolist() == pytest.approx([30, 30], rel=0.3)


def test_surrogate_has_the_larger_dispersion_parameter_and_one_optimum(protein):
    found = protein.surrogate()
    r = torch.stack([protein.log_r_background, protein.log_r_foreground]).exp()
    torch.testing.assert_close(found.dispersion, r.amax(0).clamp(min=1.1).detach())
    assert not any(p.requires_grad for p in found.parameters())
    log_mean = torch.linspace(-3, 8, 200, dtype=torch.float64)[:, None].expand(-1, 5)
    for count in (0.0, 3.0, 400.0):
        value = found.log_prob_zero(log_mean.exp())
        if count:
            x, columns = torch.tensor(count).double().expand(1000), torch.arange(1000) % 5
            value = value + found.log_ratio_to_zero(x, log_mean.reshape(-1), columns).view(200, 5)
        rises = (value.diff(dim=0) > 0).int()
        assert (rises.diff(dim=0) <= 0).all()


def test_other_likelihoods_are_their_own_surrogate():
    for name in ("nb", "poisson", "bernoulli"):
        likelihood = get_likelihood(name)(2)
        assert likelihood.surrogate() is likelihood


def test_elasticities_are_derivatives_of_the_log_means(protein):
    log_mean = (
        torch.linspace(-4, 9, 60, dtype=torch.float64)[:, None].repeat(1, 5).requires_grad_()
    )
    components = protein._components_at(log_mean)
    for k in (0, 1):
        (slope,) = torch.autograd.grad(components.log_mean[k].sum(), log_mean, retain_graph=True)
        torch.testing.assert_close(components.elasticity[k], slope)
