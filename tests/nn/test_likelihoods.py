import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch

from multiDGD.nn import (
    Bernoulli,
    Counts,
    Likelihood,
    NegativeBinomial,
    Poisson,
    Workspace,
    get_likelihood,
)
from multiDGD.nn.likelihoods import _blocks
from multiDGD.nn.likelihoods._terms import Terms

ALL = [NegativeBinomial, Poisson, Bernoulli]


def simulate(kind, n=7, f=6, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    likelihood = kind(f).to(dtype)
    for parameter in likelihood.parameters():
        parameter.data.add_(torch.randn(f, generator=generator, dtype=dtype))
    x = torch.poisson(torch.rand(n, f, generator=generator, dtype=dtype) * 4, generator)
    x[2] = 0
    x[3] = 1 + x[3]
    if kind is Bernoulli:
        x = (x > 0).to(dtype)
    return likelihood, torch.randn(n, f, generator=generator, dtype=dtype), x


def reference(likelihood, logits, x):
    """Log-probability of each count by scipy."""
    mean = likelihood.mean(logits, x.sum(1)).detach().double().numpy()
    x = x.double().numpy()
    if isinstance(likelihood, NegativeBinomial):
        r = likelihood.dispersion.detach().double().numpy()
        values = scipy.stats.nbinom.logpmf(x, r, r / (r + mean))
    elif isinstance(likelihood, Bernoulli):
        values = scipy.stats.bernoulli.logpmf(x, -np.expm1(-mean))
    else:
        values = scipy.stats.poisson.logpmf(x, mean)
    return values


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("sparse", [True, False])
def test_log_prob_equals_scipy(kind, sparse):
    likelihood, logits, x = simulate(kind)
    found = likelihood.log_prob(logits, Counts.from_dense(x) if sparse else x)
    np.testing.assert_allclose(
        found.detach(), np.nansum(reference(likelihood, logits, x), axis=1), rtol=1e-10
    )


@pytest.mark.parametrize("kind", ALL)
def test_gradients_equal_finite_differences(kind):
    likelihood, logits, x = simulate(kind)
    counts = Counts.from_dense(x)
    # The likelihood holds its parameters; as inputs, they are checked too.
    assert torch.autograd.gradcheck(
        lambda a, *_: likelihood.log_prob(a, counts),
        (logits.requires_grad_(), *likelihood.parameters()),
    )


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("learned", [True, False])
def test_closed_forms_equal_autograd(kind, learned):
    likelihood, logits, x = simulate(kind)
    x[0] += 7 * (kind is not Bernoulli)  # larger than the tabulated counts
    counts = Counts.from_dense(x)
    closed, by_autograd = likelihood.terms(learned), Terms(likelihood, learned)
    assert type(closed) is not Terms
    scale = torch.ones(x.shape[1]).to(x) if closed.scale_f is None else closed.scale_f
    weight = torch.linspace(-1, 2, len(x), dtype=x.dtype)
    at_nonzeros = counts.columns, weight[counts.rows]
    for factor in (1, 2):  # sums over blocks
        mean = factor * likelihood.mean(logits, x.sum(1)).detach()
        ratio = mean / scale
        scratch = torch.empty(2, *mean.shape, dtype=mean.dtype)
        value, share = closed.zeros(ratio.clone(), weight, scratch)
        expected, expected_share = by_autograd.zeros(mean, weight, scratch.clone())
        torch.testing.assert_close(value, expected)
        torch.testing.assert_close(share * scale, expected_share)
        index = counts.rows, counts.columns
        log_ratio, log_mean = ratio.log()[index], mean.log()[index]
        torch.testing.assert_close(
            closed.slope(counts.values, log_ratio, counts.columns),
            by_autograd.slope(counts.values, log_mean, counts.columns),
        )
        torch.testing.assert_close(
            closed.nonzeros(counts.values, log_ratio, *at_nonzeros),
            by_autograd.nonzeros(counts.values, log_mean, *at_nonzeros),
        )
    sums = closed.parameter_gradients()
    assert len(sums) == len(list(likelihood.parameters()))
    torch.testing.assert_close(sums, by_autograd.parameter_gradients())


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("weighted", [True, False])
def test_log_prob_with_the_last_layer_equals_log_prob_of_its_output(kind, weighted):
    likelihood, logits, x = simulate(kind)
    layer = torch.nn.Linear(4, x.shape[1]).double()
    hidden = logits[:, :4].clone().requires_grad_()
    weight = torch.linspace(-1, 2, len(x)).double() if weighted else -torch.ones(len(x)).double()
    leaves = hidden, layer.weight, layer.bias, *likelihood.parameters()
    apart = likelihood.log_prob(layer(hidden), x)
    together = likelihood.linear_log_prob(hidden, layer, x)
    torch.testing.assert_close(together, apart)
    torch.testing.assert_close(
        torch.autograd.grad(together @ weight, leaves), torch.autograd.grad(apart @ weight, leaves)
    )


@pytest.mark.parametrize("kind", ALL)
def test_gradients_of_the_last_layer_equal_finite_differences(kind):
    likelihood, logits, x = simulate(kind)
    layer = torch.nn.Linear(4, x.shape[1]).double()
    hidden = logits[:, :4].clone().requires_grad_()
    workspace = Workspace()
    assert torch.autograd.gradcheck(
        lambda h, *_: likelihood.linear_log_prob(h, layer, x, workspace),
        (hidden, *layer.parameters(), *likelihood.parameters()),
    )


def test_a_frozen_layer_gets_no_gradient():
    nb, logits, x = simulate(NegativeBinomial)
    layer = torch.nn.Linear(4, x.shape[1]).double().requires_grad_(False)
    nb.requires_grad_(False)
    hidden = logits[:, :4].clone().requires_grad_()
    nb.linear_log_prob(hidden, layer, x).sum().backward()
    expected = torch.autograd.grad(nb.log_prob(layer(hidden), x).sum(), hidden)
    torch.testing.assert_close(hidden.grad, *expected)
    assert layer.weight.grad is layer.bias.grad is nb.log_r.grad is None
    with torch.no_grad():
        assert not nb.linear_log_prob(hidden, layer, x).requires_grad


def test_products_in_bfloat16_under_autocast():
    nb, logits, x = simulate(NegativeBinomial, n=64, f=200, dtype=torch.float32)
    layer, hidden = torch.nn.Linear(200, 200), logits.requires_grad_()
    found = []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            value = nb.linear_log_prob(hidden, layer, x)
        gradients = torch.autograd.grad(value.sum(), (hidden, layer.weight, layer.bias, nb.log_r))
        assert {g.dtype for g in (value, *gradients)} == {torch.float32}
        found.append((value.detach(), *gradients))
    for exact, low in zip(*found, strict=True):
        error = (low - exact).norm() / exact.norm()
        assert 0 < error < 0.02


def test_training_steps_reuse_memory():
    nb, logits, x = simulate(NegativeBinomial, dtype=torch.float32)
    layer, hidden, workspace = torch.nn.Linear(4, x.shape[1]), logits[:, :4], Workspace()

    def step():
        layer.weight.grad = None
        nb.linear_log_prob(hidden, layer, x, workspace).sum().backward()
        return layer.weight.grad

    first = step().clone()
    address = layer.weight.grad.data_ptr()
    assert torch.equal(step(), first)
    assert layer.weight.grad.data_ptr() == address
    # A gradient that is still referenced is not overwritten, and gradients accumulate as usual.
    held = layer.weight.grad
    assert step().data_ptr() != held.data_ptr()
    assert torch.equal(held, first)
    nb.linear_log_prob(hidden, layer, x, workspace).sum().backward()
    torch.testing.assert_close(layer.weight.grad, 2 * first)


@pytest.mark.parametrize("kind", ALL)
def test_splitting_into_blocks_does_not_change_results(kind, monkeypatch):
    results = []
    for elements in (1, 13, 10**6):
        monkeypatch.setattr(_blocks, "BLOCK_ELEMENTS", elements)
        likelihood, logits, x = simulate(kind)
        logits.requires_grad_()
        value = likelihood.log_prob(logits, x)
        (value * torch.arange(1, len(x) + 1)).sum().backward()
        results.append([value.detach(), logits.grad, *(p.grad for p in likelihood.parameters())])
    for other in results[1:]:
        torch.testing.assert_close(other, results[0])


@pytest.mark.parametrize("kind", ALL)
def test_float32_is_close_to_float64(kind):
    grads, values = [], []
    for dtype in (torch.float64, torch.float32):
        likelihood, logits, x = simulate(kind, n=20, f=300, dtype=torch.float64)
        likelihood, logits, x = (
            likelihood.to(dtype),
            logits.to(dtype).requires_grad_(),
            x.to(dtype),
        )
        value = likelihood.log_prob(logits, x)
        value.sum().backward()
        values.append(value.double())
        grads.append(logits.grad.double())
    torch.testing.assert_close(values[1], values[0], rtol=1e-5, atol=0)
    scale = grads[0].abs().max()
    assert (grads[1] - grads[0]).abs().max() < 1e-5 * scale


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("logits_dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("parameters_dtype", [torch.float32, torch.float64])
def test_precision_is_that_of_the_logits(kind, logits_dtype, parameters_dtype):
    likelihood, logits, x = simulate(kind, dtype=torch.float32)
    logits = logits.half()
    results = []
    for dtype, own_dtype in (
        (logits_dtype, parameters_dtype),
        (torch.float64, torch.float64),
    ):
        likelihood.to(own_dtype).zero_grad()
        a = logits.detach().to(dtype).requires_grad_()
        value = likelihood.log_prob(a, x)
        value.sum().backward()
        parameters = list(likelihood.parameters())
        assert value.dtype == torch.promote_types(dtype, torch.float32)
        grads = [a.grad, *(p.grad for p in parameters)]
        assert [g.dtype for g in grads] == [dtype, *(own_dtype for _ in parameters)]
        results.append([g.double() for g in (value.detach(), *grads)])
    tolerance = 1e-2 if logits_dtype == torch.float16 else 1e-5
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kind", ALL)
def test_missing_modality_contributes_no_loss_or_gradient(kind):
    likelihood, logits, x = simulate(kind)
    logits.requires_grad_()
    x[:] = 0
    value = likelihood.log_prob(logits, x)
    value.sum().backward()
    assert (value == 0).all()
    assert (logits.grad == 0).all()
    assert all((p.grad == 0).all() for p in likelihood.parameters())


@pytest.mark.parametrize("kind", ALL)
def test_one_feature(kind):
    likelihood, logits, x = simulate(kind, f=1)
    expected = reference(likelihood, logits, x).sum(1)
    np.testing.assert_allclose(likelihood.log_prob(logits, x).detach(), expected, atol=1e-12)


def test_large_counts_and_tiny_means():
    logits = torch.tensor([[0.0, -69.0, 0.0]], requires_grad=True)
    x = torch.tensor([[1e6, 1.0, 0.0]])
    for kind in ALL:
        likelihood = kind(3)
        counts = Counts.from_dense(x, library=torch.ones(1) if kind is Bernoulli else None)
        value = likelihood.log_prob(logits, counts)
        (gradient,) = torch.autograd.grad(value.sum(), logits)
        assert value.isfinite().all()
        assert gradient.isfinite().all()
    # The Bernoulli's log-likelihood is log(mean) for a mean of exp(-69) / 2, about 5e-31.
    x = torch.tensor([[0.0, 1.0, 0.0]])
    found = Bernoulli(3).log_prob(logits, Counts.from_dense(x)).item()
    assert found == pytest.approx(-69 - np.log(2) - 1.0, rel=1e-5)


def test_half_precision_logits_are_converted():
    nb, logits, x = simulate(NegativeBinomial, dtype=torch.float32)
    low = logits.bfloat16().requires_grad_()
    value = nb.log_prob(low, x)
    value.sum().backward()
    assert value.dtype == torch.float32
    assert low.grad.dtype == torch.bfloat16
    torch.testing.assert_close(value, nb.log_prob(low.detach().float(), x))


@pytest.mark.parametrize("kind", ALL)
def test_half_precision_parameters_are_converted(kind):
    """The compiled pass would otherwise read their bits as integers."""
    likelihood, logits, x = simulate(kind, dtype=torch.float32)
    layer, hidden = torch.nn.Linear(4, x.shape[1]), logits[:, :4]
    exact = likelihood.linear_log_prob(hidden, layer, x)
    low = layer.bfloat16(), likelihood.bfloat16()
    found = likelihood.linear_log_prob(hidden.bfloat16(), layer, x)
    torch.testing.assert_close(found, exact, rtol=0.02, atol=0)
    found.sum().backward()
    assert all(p.grad.dtype == torch.bfloat16 for part in low for p in part.parameters())


@pytest.mark.parametrize("kind", ALL)
def test_samples_have_the_expected_moments(kind):
    torch.manual_seed(0)
    likelihood = kind(3)
    mean = torch.tensor([0.2, 3.0, 0.0])
    x = likelihood.sample(mean.expand(40000, 3))
    zero = likelihood.log_prob_zero(mean[None])[0].exp()
    torch.testing.assert_close((x == 0).float().mean(0), zero, atol=0.01, rtol=0)
    if kind is not Bernoulli:
        torch.testing.assert_close(x.mean(0), mean, atol=0.05, rtol=0)
    if kind is NegativeBinomial:
        torch.testing.assert_close(x.var(0), mean + mean**2 / 2, atol=0.2, rtol=0)


def test_cells_are_sampled_given_their_totals():
    """Given their total, Poisson counts follow a multinomial distribution."""
    torch.manual_seed(0)
    mean = torch.tensor([[30.0, 15.0, 5.0]]).expand(20_000, 3)
    x = Poisson(3).sample_cells(mean)
    assert ((x.sum(1) - 50).abs() <= 1).double().mean() > 0.999
    proportions = mean[0] / 50
    torch.testing.assert_close(x.mean(0), mean[0], rtol=0.01, atol=0)
    torch.testing.assert_close(x.var(0), 50 * proportions * (1 - proportions), rtol=0.05, atol=0)
    zero = NegativeBinomial(3).sample_cells(torch.zeros(2, 3))
    assert (zero == 0).all()
    assert Bernoulli(3).sample_cells(mean).max() == 1


def test_a_new_likelihood_needs_two_functions():
    class Shifted(Poisson):
        name = "test_shifted"

        def terms(self, learned):
            return Terms(self, learned)

    try:
        _, logits, x = simulate(Poisson)
        found, expected = [], []
        for likelihood, results in (
            (get_likelihood("test_shifted")(6), found),
            (Poisson(6), expected),
        ):
            leaf = logits.clone().requires_grad_()
            value = likelihood.log_prob(leaf, x)
            results += [value.detach(), *torch.autograd.grad(value.sum(), leaf)]
        torch.testing.assert_close(found, expected)
    finally:
        del Likelihood._registry["test_shifted"]


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match="likelihoods.*'gauss'.*nb"):
        get_likelihood("gauss")
    with pytest.raises(ValueError, match="n_features"):
        Poisson(0)
    with pytest.raises(ValueError, match="dispersion"):
        NegativeBinomial(2, dispersion=1.0)
    with pytest.raises(ValueError, match=r"counts.*\(2, 3\).*\(2, 4\)"):
        Poisson(3).log_prob(torch.zeros(2, 3), torch.ones(2, 4))
    with pytest.raises(ValueError, match="x_nf"):
        Counts.from_dense(torch.ones(3))
