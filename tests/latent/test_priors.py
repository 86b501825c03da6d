import math

import numpy as np
import pytest
import torch
from scipy import special, stats

from multiDGD.latent import GaussianPrior, SoftballPrior


@pytest.mark.parametrize(("dim", "radius", "hardness"), [(1, 0.5, 2.0), (5, 2.0, 5.0), (20, 7, 9)])
def test_softball_matches_the_formula(dim, radius, hardness):
    x = np.random.default_rng(0).normal(scale=radius, size=(50, dim))
    expected = (
        special.gammaln(1 + dim / 2)
        - dim * (np.log(radius) + 0.5 * np.log(np.pi))
        - np.logaddexp(0, hardness * (np.linalg.norm(x, axis=1) / radius - 1))
    )
    found = SoftballPrior(dim, radius, hardness).log_prob(torch.from_numpy(x))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_hard_ball_is_the_uniform_distribution():
    prior = SoftballPrior(3, 2.0, 1e4)
    inside, outside = prior.log_prob(torch.tensor([[1.9, 0, 0], [2.1, 0, 0]]))
    assert float(inside) == pytest.approx(-math.log(4 / 3 * math.pi * 8), rel=1e-5)
    assert outside < -100


def test_softball_depends_on_the_norm_only():
    prior = SoftballPrior(4, 2.0, 5.0)
    x = torch.randn(10, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rotation, _ = torch.linalg.qr(x[:4])
    torch.testing.assert_close(prior.log_prob(x @ rotation), prior.log_prob(x))


@pytest.mark.parametrize("size", [0.0, 1e-30, 1.0, 1e6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_softball_is_finite_at_any_distance(size, dtype):
    x = torch.full((2, 20), size, dtype=dtype, requires_grad=True)
    value = SoftballPrior(20, 2.0, 5.0).log_prob(x)
    value.sum().backward()
    assert value.dtype == dtype
    assert torch.isfinite(value).all()
    assert torch.isfinite(x.grad).all()
    if size == 1e6:
        # Far outside the ball the log density is linear in the norm, with slope -hardness / radius.
        torch.testing.assert_close(x.grad.norm(dim=1), torch.full((2,), 2.5, dtype=dtype))


def test_softball_gradient_matches_finite_differences():
    x = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 3
    assert torch.autograd.gradcheck(SoftballPrior(3, 2.0, 5.0).log_prob, x.requires_grad_())


def test_softball_samples_are_uniform_in_the_ball():
    torch.manual_seed(0)
    x = SoftballPrior(3, 2.0, 5.0).sample(20_000)
    radial = ((x.norm(dim=1) / 2) ** 3).numpy()  # uniform if the points are
    assert stats.kstest(radial, "uniform").pvalue > 1e-3
    assert x.mean(0).abs().max() < 0.05
    assert float(x.var()) == pytest.approx(4 / 5, rel=0.03)


def test_gaussian_matches_scipy():
    x = np.random.default_rng(0).normal(size=(7, 4))
    found = GaussianPrior(4, 1.5, 0.7).log_prob(torch.from_numpy(x))
    np.testing.assert_allclose(found, stats.norm(1.5, 0.7).logpdf(x).sum(1), rtol=1e-12)


def test_gaussian_samples_have_its_moments():
    torch.manual_seed(0)
    x = GaussianPrior(2, 1.5, 0.7).sample(20_000)
    assert x.shape == (20_000, 2)
    torch.testing.assert_close(x.mean(0), torch.full((2,), 1.5), atol=0.02, rtol=0)
    torch.testing.assert_close(x.std(0), torch.full((2,), 0.7), atol=0.02, rtol=0)


@pytest.mark.parametrize("prior", [SoftballPrior(3, 2.0, 5.0), GaussianPrior(3, 0.0, 1.0)])
def test_samples_are_reproducible_and_leading_axes_are_kept(prior):
    torch.manual_seed(3)
    first = prior.sample(5)
    torch.manual_seed(3)
    assert torch.equal(prior.sample(5), first)
    assert prior.log_prob(first.expand(2, 5, 3)).shape == (2, 5)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: SoftballPrior(0, 1.0, 1.0), "dim"),
        (lambda: SoftballPrior(2.5, 1.0, 1.0), "dim"),
        (lambda: SoftballPrior(2, 0.0, 1.0), "radius"),
        (lambda: SoftballPrior(2, math.inf, 1.0), "radius"),
        (lambda: SoftballPrior(2, 1.0, -1.0), "hardness"),
        (lambda: SoftballPrior(2, 1.0, 1.0).log_prob(torch.zeros(4, 3)), "x"),
        (lambda: SoftballPrior(2, 1.0, 1.0).sample(0), "n"),
        (lambda: GaussianPrior(True, 0.0, 1.0), "dim"),
        (lambda: GaussianPrior(2, math.nan, 1.0), "mean"),
        (lambda: GaussianPrior(2, 0.0, 0.0), "sd"),
        (lambda: GaussianPrior(2, 0.0, 1.0).log_prob([[1.0, 2.0]]), "x"),
        (lambda: GaussianPrior(2, 0.0, 1.0).sample(-1), "n"),
    ],
)
def test_errors_name_the_argument(make, name):
    with pytest.raises(ValueError, match=rf"^`{name}` .*found"):
        make()
