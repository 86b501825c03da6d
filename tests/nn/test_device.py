"""Likelihoods on a CUDA device equal those on the CPU."""

import pytest
import torch
from torch import nn

from multiDGD.nn import Counts, get_likelihood
from multiDGD.nn.likelihoods import _negative_binomial_cuda

pytestmark = pytest.mark.gpu

NAMES = ["nb", "poisson", "bernoulli", "protein"]


def minibatch(name, n=9, f=40, h=6, dtype=torch.float32):
    """Return a likelihood, the last layer, its input, and counts; one cell has no counts."""
    torch.manual_seed(0)
    likelihood = get_likelihood(name)(f).to(dtype)
    for parameter in likelihood.parameters():
        parameter.data.add_(0.3 * torch.randn(f, dtype=dtype))
    x = torch.poisson(torch.rand(n, f, dtype=dtype) * 3)
    x[:, 0] = 30  # larger than the tabulated counts
    x[2] = 0
    x = (x > 0).to(dtype) if name == "bernoulli" else x
    return likelihood, nn.Linear(h, f).to(dtype), torch.randn(n, h, dtype=dtype), x


def evaluate(likelihood, output, hidden, x, device, *, weighted=False, autocast=False):
    """Log-likelihood of each cell and all derivatives, computed on a device."""
    likelihood, output = likelihood.to(device), output.to(device)
    hidden = hidden.detach().to(device).requires_grad_()
    leaves = [hidden, *output.parameters(), *likelihood.parameters()]
    with torch.autocast(device, torch.bfloat16, enabled=autocast):
        value = likelihood.linear_log_prob(hidden, output, Counts.from_dense(x.to(device)))
    weight = torch.linspace(0.5, 2, len(x), device=device) if weighted else 1.0
    gradients = torch.autograd.grad((value * weight).sum(), leaves)
    assert all(part.device.type == device for part in (value, *gradients))
    return [part.detach().cpu() for part in (value, *gradients)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
def test_values_and_gradients_equal_those_of_the_cpu(name, weighted, dtype, rtol):
    parts = minibatch(name, dtype=dtype)
    expected = evaluate(*parts, "cpu", weighted=weighted)
    found = evaluate(*parts, "cuda", weighted=weighted)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=rtol, atol=rtol * b.abs().max().item())


def test_triton_kernels_compile():
    """Other tests would pass without the kernels, since plain torch gives the same results."""
    assert _negative_binomial_cuda._kernels() is not None


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_products_are_close(name):
    parts = minibatch(name)
    for low, full in zip(
        evaluate(*parts, "cuda", autocast=True), evaluate(*parts, "cuda"), strict=True
    ):
        assert low.dtype == torch.float32
        assert (low - full).norm() < 0.03 * full.norm()


@pytest.mark.parametrize("name", NAMES)
def test_samples_have_the_given_mean(name):
    likelihood, _, _, _ = minibatch(name)
    mean = torch.rand(1, 40, device="cuda").expand(20_000, 40)
    sampled = likelihood.cuda().sample(mean)
    assert sampled.is_cuda
    expected = -torch.expm1(-mean[0]) if name == "bernoulli" else mean[0]
    torch.testing.assert_close(sampled.mean(0), expected, rtol=0.1, atol=0.05)


def test_splitting_into_blocks_does_not_change_results(monkeypatch):
    parts = minibatch("poisson")  # has no kernels of its own
    whole = evaluate(*parts, "cuda")
    monkeypatch.setattr("multiDGD.nn.likelihoods._blocks.DEVICE_BLOCK_ELEMENTS", 4 * 40)
    for a, b in zip(evaluate(*parts, "cuda"), whole, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_cells_are_selected_on_the_device():
    x = torch.poisson(torch.rand(6, 5) * 2)
    cells = torch.tensor([4, 0, 4])
    taken = Counts.from_dense(x.cuda()).take(cells.cuda())
    assert torch.equal(taken.to_dense().cpu(), x[cells])
