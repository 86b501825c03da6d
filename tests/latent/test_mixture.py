"""Densities, gradients, clusters and samples of the mixture."""

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from multiDGD.latent import GaussianMixture

COVARIANCES = ["diagonal", "isotropic", "fixed"]
F64 = torch.float64


def make(covariance_type="diagonal", n_mix_comp=4, dim=3, seed=0, **kwargs):
    """Return a mixture in float64 with random parameters."""
    torch.manual_seed(seed)
    gmm = GaussianMixture(
        n_mix_comp, dim, covariance_type, **{"mean_init": (2, 5), "sd_init": (0.7, 1)} | kwargs
    ).double()
    with torch.no_grad():
        for parameter in gmm.parameters():
            parameter.normal_()
    return gmm


def as_distribution(gmm):
    scale = gmm.stddev.expand_as(gmm.mean)
    components = Independent(Normal(gmm.mean, scale), 1)
    return MixtureSameFamily(Categorical(logits=gmm.weight), components)


@pytest.mark.parametrize("covariance_type", COVARIANCES)
def test_density_matches_torch_distributions(covariance_type):
    gmm = make(covariance_type)
    truth = as_distribution(gmm)
    x = torch.randn(20, 3, dtype=F64) * 2
    torch.testing.assert_close(gmm.log_density(x), truth.log_prob(x))
    by_component = truth.component_distribution.log_prob(x[:, None]) + gmm.mixture_probs().log()
    torch.testing.assert_close(gmm.component_log_prob(x), by_component)
    torch.testing.assert_close(gmm.sample_probs(x), by_component.exp())
    assert torch.equal(gmm.clustering(x), by_component.argmax(1))


@pytest.mark.parametrize("covariance_type", COVARIANCES)
def test_log_prob_adds_the_prior_to_every_value_and_forward_is_the_loss(covariance_type):
    gmm = make(covariance_type, weight_alpha=2.5)
    x = torch.randn(6, 3, dtype=F64)
    prior = gmm.prior_log_prob()
    assert prior.shape == ()
    torch.testing.assert_close(gmm.log_prob(x), gmm.log_density(x) + prior)
    assert torch.equal(gmm(x), -gmm.log_prob(x))
    assert gmm(x).shape == (6,)


@pytest.mark.parametrize("covariance_type", COVARIANCES)
def test_gradients_match_finite_differences(covariance_type):
    gmm = make(covariance_type, weight_alpha=2.5)
    names = [name for name, _ in gmm.named_parameters()]
    x = torch.randn(5, 3, dtype=F64, requires_grad=True)

    def loss(x, *values):
        return torch.func.functional_call(gmm, dict(zip(names, values, strict=True)), (x,))

    values = [p.detach().clone().requires_grad_() for p in gmm.parameters()]
    assert torch.autograd.gradcheck(loss, (x, *values))


def test_density_is_invariant_to_component_order_weight_shift_and_translation():
    gmm, other = make(), make()
    x = torch.randn(8, 3, dtype=F64)
    order = torch.tensor([2, 0, 3, 1])
    with torch.no_grad():
        for name in ("mean", "neglogvar", "weight"):
            getattr(other, name).copy_(getattr(gmm, name)[order])
        other.weight += 7.5
    torch.testing.assert_close(other(x), gmm(x))
    assert torch.equal(order[other.clustering(x)], gmm.clustering(x))
    with torch.no_grad():
        other.mean += 100
    torch.testing.assert_close(other.log_density(x + 100), gmm.log_density(x))


@pytest.mark.parametrize("covariance_type", COVARIANCES)
@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("distance", [0.0, 1e3, 1e6])
def test_far_means_keep_loss_and_gradients_finite(covariance_type, dtype, distance):
    torch.manual_seed(0)
    gmm = GaussianMixture(3, 20, covariance_type, mean_init=(2, 5), sd_init=(0.02, 1)).to(dtype)
    with torch.no_grad():
        gmm.mean.copy_(torch.randn(3, 20).sign() * distance)
    x = torch.randn(4, 20, dtype=dtype, requires_grad=True)
    loss = gmm(x)
    loss.sum().backward()
    assert loss.dtype == dtype
    for value in (loss, x.grad, *(p.grad for p in gmm.parameters())):
        assert torch.isfinite(value).all()
    if distance:
        assert (gmm.mean.grad * gmm.mean >= 0).all()  # descent moves means towards the points
        assert (gmm.mean.grad != 0).all()


def test_density_is_exact_far_from_the_origin():
    # Float32 resolves only 2**-5 at 1e5; expanding the square would lose all precision there.
    near, far = make("isotropic", 1, 2).float(), make("isotropic", 1, 2).float()
    with torch.no_grad():
        near.mean.fill_(0)
        far.mean.fill_(1e5)
    x = torch.tensor([[0.5, -0.25], [1.0, 0.0]])
    torch.testing.assert_close(far.log_density(x + 1e5), near.log_density(x))


def test_thirty_thousand_components():
    n_k = 30_000
    gmm = GaussianMixture(n_k, 2, "isotropic", mean_init=(2, 5), sd_init=(0.1, 1))
    with torch.no_grad():
        gmm.mean[:, 0] = torch.arange(n_k)
        gmm.mean[:, 1] = 0
    wanted = torch.tensor([0, 127, 128, 255, 256, 32_767 % n_k, 29_999])
    clusters = gmm.clustering(gmm.mean[wanted])
    assert clusters.dtype == torch.int64
    assert torch.equal(clusters, wanted)
    assert torch.isfinite(gmm(gmm.mean[wanted])).all()
    torch.testing.assert_close(gmm.mixture_probs().sum(), torch.tensor(1.0))


def test_clustering_in_chunks_gives_the_same_result(monkeypatch):
    gmm = make()
    x = torch.randn(50, 3, dtype=F64)
    whole = gmm.clustering(x)
    rows = []
    component_log_prob = gmm.component_log_prob
    monkeypatch.setattr("multiDGD.latent._mixture._CHUNK_VALUES", 7 * 4 * 3)
    monkeypatch.setattr(
        gmm, "component_log_prob", lambda c: rows.append(len(c)) or component_log_prob(c)
    )
    assert torch.equal(gmm.clustering(x), whole)
    assert rows == [7] * 7 + [1]
    assert gmm.clustering(x[:0]).shape == (0,)


@pytest.mark.parametrize("covariance_type", COVARIANCES)
def test_samples_have_the_moments_of_the_mixture(covariance_type):
    gmm = make(covariance_type, seed=4)
    truth = as_distribution(gmm)
    torch.manual_seed(0)
    x = gmm.sample(40_000)
    assert x.shape == (40_000, 3)
    assert x.dtype == F64
    error = (truth.variance / 40_000).sqrt()
    assert ((x.mean(0) - truth.mean).abs() < 5 * error).all()
    torch.testing.assert_close(x.var(0), truth.variance, rtol=0.05, atol=0)
    # Wrong components can have the right moments, but not the right mean log density.
    expected = truth.log_prob(truth.sample((40_000,))).mean()
    torch.testing.assert_close(gmm.log_density(x).mean(), expected, rtol=0, atol=0.05)


@pytest.mark.parametrize("covariance_type", COVARIANCES)
def test_component_samples_have_the_moments_of_each_component(covariance_type):
    gmm = make(covariance_type)
    torch.manual_seed(0)
    x = gmm.component_sample(20_000)
    assert x.shape == (20_000, 4, 3)
    scale = gmm.stddev.detach().expand(4, 3)
    assert ((x.mean(0) - gmm.mean).abs() < 5 * scale / 20_000**0.5).all()
    torch.testing.assert_close(x.std(0), scale, rtol=0.03, atol=0)


def test_new_points():
    gmm = make()
    means = gmm.sample_new_points()
    assert torch.equal(means, gmm.mean)
    assert not means.requires_grad
    means.fill_(0)
    assert gmm.mean.abs().min() > 0  # a copy
    assert torch.equal(gmm.sample_new_points("mean", n_new_samples=3), gmm.mean)
    torch.manual_seed(0)
    points = gmm.sample_new_points("sample", n_new_samples=3)
    torch.manual_seed(0)
    assert points.shape == (12, 3)
    assert torch.equal(points, gmm.component_sample(3).reshape(12, 3))


@pytest.mark.parametrize(
    "draw",
    [
        lambda gmm: gmm.sample(5),
        lambda gmm: gmm.component_sample(5),
        lambda gmm: gmm.sample_new_points("sample", 5),
    ],
)
def test_draws_are_reproducible_and_have_no_gradient(draw):
    gmm = make()
    torch.manual_seed(9)
    first = draw(gmm)
    assert not first.requires_grad
    assert not torch.equal(draw(gmm), first)
    torch.manual_seed(9)
    assert torch.equal(draw(gmm), first)


def test_plain_torch_recovers_the_true_parameters():
    torch.manual_seed(0)
    true_mean = torch.tensor([[-2.0, 0], [2, 0], [0, 2]])
    x = (true_mean[:, None] + 0.3 * torch.randn(3, 200, 2)).reshape(-1, 2)
    gmm = GaussianMixture(3, 2, mean_init=(3, 5), sd_init=(0.5, 1))
    gmm.initialize(true_mean + 0.5)
    optimizer = torch.optim.Adam(gmm.parameters(), lr=0.05)
    for _ in range(150):
        optimizer.zero_grad()
        loss = -(gmm.log_density(x).sum() + gmm.prior_log_prob())
        loss.backward()
        optimizer.step()
    torch.testing.assert_close(gmm.mean.detach(), true_mean, atol=0.1, rtol=0)
    torch.testing.assert_close(gmm.stddev.detach(), torch.full((3, 2), 0.3), atol=0.05, rtol=0)
    assert (gmm.clustering(x) == torch.arange(3).repeat_interleave(200)).float().mean() > 0.99


@pytest.mark.gpu
def test_everything_stays_on_the_device():
    gmm = make()
    x = torch.randn(6, 3, dtype=F64)
    expected = gmm(x), gmm.clustering(x)
    gmm.cuda()
    torch.testing.assert_close(gmm(x.cuda()).cpu(), expected[0])
    assert torch.equal(gmm.clustering(x.cuda()).cpu(), expected[1])
    assert all(
        value.is_cuda
        for value in (gmm.sample(3), gmm.component_sample(3), gmm.sample_new_points("sample"))
    )
    gmm.initialize(torch.zeros(4, 3), torch.ones(4, 3), [1, 2, 3, 4])
    assert gmm.mean.is_cuda


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda gmm: gmm(torch.zeros(5, 4)), "x"),
        (lambda gmm: gmm.log_prob(torch.zeros(3)), "x"),
        (lambda gmm: gmm.log_density(torch.zeros(2, 2, 3)), "x"),
        (lambda gmm: gmm.component_log_prob([[0.0, 0, 0]]), "x"),
        (lambda gmm: gmm.sample_probs(torch.zeros(5, 1)), "x"),
        (lambda gmm: gmm.clustering(torch.zeros(5, 2)), "x"),
        (lambda gmm: gmm.sample(0), "n_sample"),
        (lambda gmm: gmm.component_sample(1.5), "n_sample"),
        (lambda gmm: gmm.sample_new_points("origin"), "resample_type"),
        (lambda gmm: gmm.sample_new_points("sample", 0), "n_new_samples"),
    ],
)
def test_errors_name_the_argument(call, name):
    with pytest.raises(ValueError, match=rf"^`{name}` .*found"):
        call(make())
