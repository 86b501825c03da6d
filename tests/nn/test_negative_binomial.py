"""Numerics of the negative binomial, with and without compiled code."""

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from tests.nn.test_likelihoods import simulate

from multiDGD.nn import NegativeBinomial, Poisson
from multiDGD.nn.likelihoods._nb_coefficient import NBCoefficientTable, log_nb_coefficient


@pytest.mark.parametrize("x", [1, 2, 4, 5, 1000, 0.5])
def test_tabulated_coefficients_equal_scipy(x):
    r = torch.tensor([1.0, 1.5, 300.0], dtype=torch.float64)
    value, by_r = NBCoefficientTable(r)(torch.full((3,), float(x)).double(), torch.arange(3))
    r = r.numpy()
    gammaln, psi = scipy.special.gammaln, scipy.special.digamma
    np.testing.assert_allclose(value, gammaln(x + r) - gammaln(r) - gammaln(x + 1), rtol=1e-9)
    np.testing.assert_allclose(by_r, psi(x + r) - psi(r), rtol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_coefficients_are_accurate_for_all_counts_and_dispersions(dtype):
    x, r = np.meshgrid(np.r_[0:20, 100, 5000], np.geomspace(1e-2, 1e12, 57))
    exact_r = torch.from_numpy(r).to(dtype).double().numpy()
    leaf = torch.from_numpy(r).to(dtype).requires_grad_()
    found = log_nb_coefficient(torch.from_numpy(x).to(dtype), leaf)
    (slope,) = torch.autograd.grad(found.sum(), leaf)
    # A sum over the x factors of r (r + 1) ... / x!, without cancellation.
    factors = exact_r[..., None] + np.arange(5000)
    inside = np.arange(5000) < x[..., None]
    value = np.log(factors / np.arange(1, 5001)).sum(-1, where=inside)
    by_r = (1 / factors).sum(-1, where=inside)
    tolerance = 20 * torch.finfo(dtype).eps if dtype == torch.float32 else 1e-10
    # The rounding error of log x! is part of the result's error.
    scale = 1 + abs(value) + scipy.special.gammaln(x + 1)
    assert (abs(found.detach().double().numpy() - value) < tolerance * scale).all()
    np.testing.assert_allclose(slope.double(), by_r, rtol=3 * tolerance, atol=0)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("log_r", [8, 10, 14, 20])
def test_negative_binomial_tends_to_poisson(compiled, log_r, monkeypatch):
    """The dispersion of a feature without overdispersion grows without bound in training."""
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "0" if compiled else "1")
    nb = NegativeBinomial(3)
    nb.log_r.data.fill_(log_r)
    x = torch.tensor([[12.0, 5.0, 30.0]])
    logits = torch.tensor([[0.1, -0.5, 1.0]])
    value = nb.log_prob(logits, x)
    (slope,) = torch.autograd.grad(value.sum(), nb.log_r)
    mean = x.sum() * logits.softmax(1)
    poisson = Poisson(3).log_prob(logits, x)
    # To first order in 1 / r, the difference is [(x - mean)^2 - x] / (2 r).
    difference = ((x - mean).square() - x) / (2 * np.exp(log_r))
    torch.testing.assert_close(value, poisson + difference.sum(), atol=1e-4, rtol=0)
    torch.testing.assert_close(slope, -difference[0], atol=1e-5, rtol=0.05)


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("largest", [3, 1e6])
def test_compiled_pass_is_accurate(n_threads, largest):
    """float32 against the dense form in float64, with weights, empty rows and huge counts."""
    n, f = 9, 300
    generator = torch.Generator().manual_seed(1)
    nb = NegativeBinomial(f)
    nb.log_r.data.normal_(0, 2, generator=generator)
    x = torch.poisson(torch.rand(n, f, generator=generator) * 2, generator)
    x[0], x[1, 1:], x[2, 5], x[3] = 0, 0, largest, 1 + x[3]
    logits = (5 * torch.randn(n, f, generator=generator)).requires_grad_()
    weight = torch.linspace(-1, 2, n)
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        value = nb.log_prob(logits, x)
        found = torch.autograd.grad(value @ weight, (logits, nb.log_r))
    finally:
        torch.set_num_threads(before)
    logits, exact = logits.detach().double().requires_grad_(), NegativeBinomial(f).double()
    exact.log_r.data = nb.log_r.data.double()
    dense = torch.distributions.NegativeBinomial(
        exact.dispersion,
        logits=exact.mean(logits, x.double().sum(1)).log() - exact.dispersion.log(),
    )
    expected = dense.log_prob(x.double()).masked_fill(x.sum(1, keepdim=True) == 0, 0).sum(1)
    torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=0)
    expected = torch.autograd.grad(expected @ weight.double(), (logits, exact.log_r))
    for a, b in zip(found, expected, strict=True):
        b = b.nan_to_num()  # the dense form has log(0) for the empty cell
        assert (a - b).norm() < 1e-5 * b.norm()


def test_same_results_without_the_compiler(monkeypatch):
    found = []
    for disabled in ("0", "1"):
        monkeypatch.setenv("NUMBA_DISABLE_JIT", disabled)
        nb, logits, x = simulate(NegativeBinomial, n=30, f=200, dtype=torch.float32)
        value = nb.log_prob(logits.requires_grad_(), x)
        found.append((value, *torch.autograd.grad(value.sum(), (logits, nb.log_r))))
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-5)
    assert not torch.equal(found[0][1], found[1][1])  # two different computations


def test_golden_negative_binomial(data_dir):
    golden = np.load(data_dir / "golden_latent.npz")
    x, mean = (torch.from_numpy(golden[f"nb_{k}"]) for k in ("counts", "mean"))
    r = torch.from_numpy(golden["nb_dispersion"][0])
    nb = NegativeBinomial(x.shape[1])
    nb.log_r.data = (r - 1).log()
    assert r.min() > 1
    # Element by element, since the file's means are not a softmax times a library size.
    rows, columns = np.indices(x.shape)
    ratio = nb.log_ratio_to_zero(
        x.flatten(), mean.log().flatten(), torch.from_numpy(columns).flatten()
    )
    found = nb.log_prob_zero(mean) + ratio.view(x.shape)
    np.testing.assert_allclose(found.detach(), golden["nb_log_prob"], rtol=1e-4, atol=1e-5)
