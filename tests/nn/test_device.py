"""Likelihoods on a CUDA device are those on the CPU."""

import pytest
import torch
from torch import nn

from multiDGD.nn import Counts, get_likelihood
from multiDGD.nn.likelihoods import _device

pytestmark = pytest.mark.gpu

NAMES = ["nb", "poisson", "bernoulli", "protein"]


def minibatch(name, n=9, f=40, h=6, dtype=torch.float32):
    """A likelihood, the layer before it with its input, and counts; one cell has none."""
    torch.manual_seed(0)
    likelihood = get_likelihood(name)(f).to(dtype)
    for parameter in likelihood.parameters():
        parameter.data.add_(0.3 * torch.randn(f, dtype=dtype))
    x = torch.poisson(torch.rand(n, f, dtype=dtype) * 3)
    x[:, 0] = 30  # beyond the table of small counts
    x[2] = 0
    x = (x > 0).to(dtype) if name == "bernoulli" else x
    return likelihood, nn.Linear(h, f).to(dtype), torch.randn(n, h, dtype=dtype), x


def evaluated(likelihood, output, hidden, x, device, *, weighted=False, autocast=False):
    """Value of every cell and all derivatives, computed on a device."""
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
def test_values_and_gradients_are_those_of_the_cpu(name, weighted, dtype, rtol):
    parts = minibatch(name, dtype=dtype)
    expected = evaluated(*parts, "cpu", weighted=weighted)
    found = evaluated(*parts, "cuda", weighted=weighted)
    for here, there in zip(found, expected, strict=True):
        torch.testing.assert_close(here, there, rtol=rtol, atol=rtol * there.abs().max().item())


def test_kernels_could_be_made():
    """Torch's blocks would give the same, and nobody would notice that they are not there."""
    assert _device._fill() is not None


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_products_are_near(name):
    parts = minibatch(name)
    for low, full in zip(
        evaluated(*parts, "cuda", autocast=True), evaluated(*parts, "cuda"), strict=True
    ):
        assert low.dtype == torch.float32
        assert (low - full).norm() < 0.03 * full.norm()


@pytest.mark.parametrize("name", NAMES)
def test_draws_have_the_mean(name):
    likelihood, _, _, _ = minibatch(name)
    mean = torch.rand(1, 40, device="cuda").expand(20_000, 40)
    drawn = likelihood.cuda().sample(mean)
    assert drawn.is_cuda
    expected = -torch.expm1(-mean[0]) if name == "bernoulli" else mean[0]
    torch.testing.assert_close(drawn.mean(0), expected, rtol=0.1, atol=0.05)


def test_large_minibatches_go_in_blocks(monkeypatch):
    parts = minibatch("poisson")  # which has no kernels of its own
    whole = evaluated(*parts, "cuda")
    monkeypatch.setattr("multiDGD.nn.likelihoods._blocks.DEVICE_BLOCK_ELEMENTS", 4 * 40)
    for here, there in zip(evaluated(*parts, "cuda"), whole, strict=True):
        torch.testing.assert_close(here, there, rtol=1e-4, atol=1e-4)


def test_cells_are_taken_there():
    x = torch.poisson(torch.rand(6, 5) * 2)
    cells = torch.tensor([4, 0, 4])
    taken = Counts.from_dense(x.cuda()).take(cells.cuda())
    assert torch.equal(taken.to_dense().cpu(), x[cells])
