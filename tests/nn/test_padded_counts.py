"""Padding changes neither values nor gradients."""

import pytest
import torch
from torch import nn

from multiDGD.nn import Counts, Exponential, NegativeBinomial, get_likelihood
from multiDGD.nn.likelihoods._terms import Terms


class NegativeBinomialByAutograd(NegativeBinomial):
    name = "padded autograd"

    def terms(self, learned):
        return Terms(self, learned)


NAMES = ["nb", "poisson", "bernoulli", "protein", NegativeBinomialByAutograd.name]


def padded(counts, n_padding):
    """Append entries that are padding."""
    n = torch.full((n_padding,), counts.n_cells)
    return counts._replace(
        values=torch.cat([counts.values, torch.ones(n_padding, dtype=counts.values.dtype)]),
        rows=torch.cat([counts.rows, n]),
        columns=torch.cat([counts.columns, torch.zeros_like(n)]),
        is_padded=True,
    )


def example(name, f, dtype=torch.float64, empty=(2, 8)):
    torch.manual_seed(0)
    likelihood = get_likelihood(name)(f).to(dtype)
    for parameter in likelihood.parameters():
        parameter.data.add_(0.3 * torch.randn(f, dtype=dtype))
    x = torch.poisson(torch.rand(9, f, dtype=dtype) * 3)
    x[:, 0] = 30
    x[list(empty)] = 0
    x = (x > 0).to(dtype) if name == "bernoulli" else x
    return likelihood, nn.Linear(6, f).to(dtype), torch.randn(9, 6, dtype=dtype), x


def evaluate(likelihood, output, hidden, counts, *, weighted=False, linear=True):
    hidden = hidden.detach().requires_grad_()
    leaves = [hidden, *output.parameters(), *likelihood.parameters()]
    if linear:
        value = likelihood.linear_log_prob(hidden, output, counts)
    else:
        value = likelihood.log_prob(output(hidden), counts)
    weight = torch.linspace(0.5, 2, 9, dtype=value.dtype) if weighted else 1.0
    return value, *torch.autograd.grad((value * weight).sum(), leaves)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("empty", [(2, 8), (0,), range(9)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("options", [{}, {"weighted": True}, {"linear": False}])
@pytest.mark.filterwarnings("ignore:lazy loading")
def test_padding_changes_nothing(name, empty, dtype, options):
    *parts, x = example(name, 40, dtype, empty)
    counts = Counts.from_dense(x)
    expected = evaluate(*parts, counts, **options)
    found = evaluate(*parts, padded(counts, 25), **options)
    for a, b in zip(found, expected, strict=True):
        assert a.isfinite().all()
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_single_feature(name):
    likelihood, output, hidden, x = example(name, 1)
    likelihood.mean_function = Exponential()
    counts = Counts.from_dense(x, torch.ones(9).double().index_fill(0, torch.tensor([2, 8]), 0))
    expected = evaluate(likelihood, output, hidden, counts)
    for a, b in zip(
        evaluate(likelihood, output, hidden, padded(counts, 7)), expected, strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_padded_counts_are_a_single_block(monkeypatch):
    """The sizes of several blocks would depend on the cells."""
    *parts, x = example("poisson", 40)
    counts = Counts.from_dense(x)
    expected = evaluate(*parts, counts)
    monkeypatch.setattr("multiDGD.nn.likelihoods._blocks.BLOCK_ELEMENTS", 4 * 40)
    for a, b in zip(evaluate(*parts, padded(counts, 25)), expected, strict=True):
        torch.testing.assert_close(a, b)


def test_padding_is_not_in_the_dense_matrix():
    x = torch.tensor([[0.0, 2.0], [0.0, 0.0]])
    counts = padded(Counts.from_dense(x), 3)
    assert torch.equal(counts.to_dense(), x)
    assert counts.padding.tolist() == [False, True, True, True]
