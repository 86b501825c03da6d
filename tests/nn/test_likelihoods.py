import numpy as np
import pytest
import scipy.stats
import torch

from multiDGD.nn import Bernoulli, Counts, Likelihood, NegativeBinomial, Poisson, get_likelihood
from multiDGD.nn.likelihoods import _sparse
from multiDGD.nn.likelihoods._zero import ZeroPart

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
    """Log-probability of every count by scipy."""
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
def test_value_is_scipys(kind, sparse):
    likelihood, logits, x = simulate(kind)
    found = likelihood.log_prob(logits, Counts.from_dense(x) if sparse else x)
    np.testing.assert_allclose(
        found.detach(), np.nansum(reference(likelihood, logits, x), axis=1), rtol=1e-10
    )


@pytest.mark.parametrize("kind", ALL)
def test_gradients_by_finite_differences(kind):
    likelihood, logits, x = simulate(kind)
    counts = Counts.from_dense(x)
    # The parameters are taken from the likelihood; naming them as inputs has them checked too.
    assert torch.autograd.gradcheck(
        lambda a, *_: likelihood.log_prob(a, counts),
        (logits.requires_grad_(), *likelihood.parameters()),
    )


@pytest.mark.parametrize("kind", ALL)
def test_closed_forms_equal_autograd(kind):
    likelihood, logits, x = simulate(kind)
    mean = likelihood.mean(logits, x.sum(1))
    weight = torch.linspace(-1, 2, len(x), dtype=mean.dtype)
    closed, by_autograd = likelihood.zero_part(), ZeroPart(likelihood)
    assert type(closed) is not ZeroPart
    torch.testing.assert_close(closed.total(mean.clone()), by_autograd.total(mean.clone()))
    for with_parameters in (True, False):
        found, expected = (
            part.gradient(mean.clone(), weight, torch.empty_like(mean), with_parameters)
            for part in (closed, by_autograd)
        )
        torch.testing.assert_close(found, expected)
    # Blocks add up, and only those with parameters count.
    closed.gradient(2 * mean, weight, torch.empty_like(mean), True)
    by_autograd.gradient(2 * mean, weight, torch.empty_like(mean), True)
    sums = closed.parameter_gradients()
    torch.testing.assert_close(sums, by_autograd.parameter_gradients())
    assert len(sums) == len(list(likelihood.parameters()))


@pytest.mark.parametrize("kind", ALL)
def test_rows_in_blocks_change_nothing(kind, monkeypatch):
    results = []
    for elements in (1, 13, 10**6):
        monkeypatch.setattr(_sparse, "BLOCK_ELEMENTS", elements)
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


def test_golden_negative_binomial(data_dir):
    golden = np.load(data_dir / "golden_latent.npz")
    x, mean = (torch.from_numpy(golden[f"nb_{k}"]) for k in ("counts", "mean"))
    r = torch.from_numpy(golden["nb_dispersion"][0])
    nb = NegativeBinomial(x.shape[1])
    nb.log_r.data = (r - 1).log()
    assert r.min() > 1
    # One cell and feature at a time, since the file's means are not a softmax times a library.
    rows, columns = np.indices(x.shape)
    ratio = nb.log_ratio_to_zero(
        x.flatten(), mean.log().flatten(), torch.from_numpy(columns).flatten()
    )
    found = nb.log_prob_zero(mean) + ratio.view(x.shape)
    np.testing.assert_allclose(found.detach(), golden["nb_log_prob"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ALL)
def test_not_measured_is_neither_loss_nor_gradient(kind):
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
    # By Bernoulli's own formula, log(mean) for a mean of exp(-69) / 2, which is about 5e-31.
    x = torch.tensor([[0.0, 1.0, 0.0]])
    found = Bernoulli(3).log_prob(logits, Counts.from_dense(x)).item()
    assert found == pytest.approx(-69 - np.log(2) - 1.0, rel=1e-5)


def test_gradient_in_the_logits_own_memory():
    results = []
    for reuse_logits in (False, True):
        nb, leaf, x = simulate(NegativeBinomial)
        leaf.requires_grad_()
        logits = leaf * 2
        before = logits.detach().clone()
        value = nb.log_prob(logits, x, reuse_logits=reuse_logits).sum()
        value.backward(retain_graph=True)
        results.append([leaf.grad.clone(), nb.log_r.grad.clone()])
        assert torch.equal(logits, before) != reuse_logits
        if reuse_logits:  # a second pass would start from what is no longer there
            with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                value.backward()
    torch.testing.assert_close(results[0], results[1])


def test_half_precision_logits_are_raised():
    nb, logits, x = simulate(NegativeBinomial, dtype=torch.float32)
    low = logits.bfloat16().requires_grad_()
    value = nb.log_prob(low, x)
    value.sum().backward()
    assert value.dtype == torch.float32
    assert low.grad.dtype == torch.bfloat16
    torch.testing.assert_close(value, nb.log_prob(low.detach().float(), x))


@pytest.mark.parametrize("kind", ALL)
def test_samples_have_the_stated_moments(kind):
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


def test_a_new_likelihood_needs_two_functions():
    class Shifted(Poisson):
        name = "test_shifted"

        def zero_part(self):
            return ZeroPart(self)

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
