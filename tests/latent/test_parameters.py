"""Parameters of a mixture: initial values, priors, `initialize`, and saving."""

import copy
import inspect
import math
import warnings

import numpy as np
import pytest
import torch
from scipy import special, stats

from multiDGD.latent import GaussianMixture, GaussianMixtureSupervised, SoftballPrior

COVARIANCES = ["diagonal", "isotropic", "fixed"]


def make(covariance_type="diagonal", n_mix_comp=4, dim=3, **kwargs):
    return GaussianMixture(
        n_mix_comp, dim, covariance_type, **{"mean_init": (2, 5), "sd_init": (0.3, 1)} | kwargs
    )


def test_signatures():
    def defaults(cls):
        return {n: p.default for n, p in inspect.signature(cls).parameters.items()}

    required = inspect.Parameter.empty
    shared = {"mean_init": (0.0, 1.0), "sd_init": (0.5, 1.0)}
    unsupervised = {"n_mix_comp": required, "dim": required, "covariance_type": "diagonal"}
    supervised = {"Nclass": required, "Ncompperclass": required, "dim": required}
    assert defaults(GaussianMixture) == unsupervised | shared | {"weight_alpha": 1}
    assert defaults(GaussianMixtureSupervised) == (
        supervised | {"covariance_type": "isotropic"} | shared | {"alpha": 1}
    )


@pytest.mark.parametrize("covariance_type", COVARIANCES)
def test_initial_values(covariance_type):
    torch.manual_seed(0)
    gmm = make(covariance_type, 50, 6)
    n_scale = 6 if covariance_type == "diagonal" else 1
    assert (gmm.n_mix_comp, gmm.dim) == (50, 6)
    assert gmm.mean.shape == (50, 6)
    norm = gmm.mean.norm(dim=1)
    assert (norm <= 2).all()
    assert norm.std() > 0
    torch.testing.assert_close(
        gmm.neglogvar.detach(), torch.full((50, n_scale), -2 * math.log(0.3))
    )
    torch.testing.assert_close(gmm.stddev.detach(), torch.full((50, n_scale), 0.3))
    torch.testing.assert_close(gmm.covariance.detach(), torch.full((50, n_scale), 0.09))
    torch.testing.assert_close(gmm.mixture_probs().detach(), torch.full((50,), 1 / 50))


@pytest.mark.parametrize("covariance_type", COVARIANCES)
def test_all_but_fixed_scales_are_learned(covariance_type):
    gmm = make(covariance_type)
    learned = {name for name, _ in gmm.named_parameters()}
    assert ("neglogvar" in learned) == (covariance_type != "fixed")
    assert {"mean", "weight"} <= learned
    assert set(gmm.state_dict()) == {"mean", "neglogvar", "weight"}


def test_defaults_initialise_at_the_origin_with_a_warning():
    with pytest.warns(UserWarning, match=r"Pass `mean_init=\(radius, hardness\)`") as caught:
        gmm = GaussianMixture(3, 2)
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="mean_init") as caught:
        GaussianMixtureSupervised(3, 1, 2)
    assert caught[0].filename == __file__
    assert gmm.mean_prior is None
    assert torch.equal(gmm.mean.detach(), torch.zeros(3, 2))
    loss = gmm(torch.randn(5, 2))
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert all(torch.isfinite(p.grad).all() for p in gmm.parameters())


def test_defaults_suffice_for_one_component():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gmm = GaussianMixture(1, 2)
    expected = stats.norm(0, 0.5).logpdf(0) * 2
    assert gmm.log_density(torch.zeros(1, 2)).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("covariance_type", COVARIANCES)
@pytest.mark.parametrize("alpha", [0.5, 1, 3.0])
@pytest.mark.parametrize("radius", [0, 2])
def test_prior_is_the_sum_of_its_terms(covariance_type, alpha, radius):
    torch.manual_seed(1)
    arguments = {"mean_init": (radius, 5), "sd_init": (0.3, 0.8), "weight_alpha": alpha}
    if radius == 0:
        with pytest.warns(UserWarning, match="mean_init"):
            gmm = make(covariance_type, **arguments).double()
    else:
        gmm = make(covariance_type, **arguments).double()
    with torch.no_grad():
        for parameter in gmm.parameters():
            parameter.normal_()
    pi = special.softmax(gmm.weight.detach().numpy())
    expected = stats.dirichlet(np.full(4, alpha)).logpdf(pi)
    if radius:
        expected += SoftballPrior(3, 2, 5).log_prob(gmm.mean).sum().item()
    if covariance_type != "fixed":
        scale_prior = stats.norm(-2 * math.log(0.3), 0.8)
        expected += scale_prior.logpdf(gmm.neglogvar.detach().numpy()).sum()
    assert gmm.prior_log_prob().item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("kind", [torch.tensor, np.array, list])
def test_initialize(kind):
    gmm = make().double()
    means, variances = np.random.default_rng(0).gamma(2, size=(2, 4, 3))
    gmm.initialize(kind(means.tolist()), kind(variances.tolist()), kind([5, 1, 3, 1]))
    np.testing.assert_allclose(gmm.mean.detach(), means)
    np.testing.assert_allclose(gmm.covariance.detach(), variances)
    np.testing.assert_allclose(gmm.mixture_probs().detach(), [0.5, 0.1, 0.3, 0.1])
    assert gmm.mean.requires_grad


def test_initialize_keeps_other_parameters():
    gmm = make()
    with torch.no_grad():
        gmm.weight.normal_()
        gmm.neglogvar.normal_()
    before = copy.deepcopy(gmm.state_dict())
    gmm.initialize(torch.ones(4, 3))
    assert torch.equal(gmm.mean.detach(), torch.ones(4, 3))
    assert torch.equal(gmm.weight, before["weight"])
    assert torch.equal(gmm.neglogvar, before["neglogvar"])


@pytest.mark.parametrize(
    ("covariance_type", "expected"),
    [("diagonal", [[1.0, 2, 3]]), ("isotropic", [[2.0]]), ("fixed", [[0.09]])],
)
def test_initialize_respects_the_covariance_type(covariance_type, expected):
    gmm = make(covariance_type, n_mix_comp=1)
    gmm.initialize(torch.zeros(1, 3), torch.tensor([[1.0, 2, 3]]))
    torch.testing.assert_close(gmm.covariance.detach(), torch.tensor(expected))


@pytest.mark.parametrize("covariance_type", ["diagonal", "isotropic"])
def test_initialize_accepts_one_variance_per_component(covariance_type):
    gmm = make(covariance_type)
    gmm.initialize(torch.zeros(4, 3), torch.arange(1.0, 5).reshape(4, 1))
    expected = torch.arange(1.0, 5).reshape(4, 1).expand_as(gmm.covariance)
    torch.testing.assert_close(gmm.covariance.detach(), expected)


def test_component_of_one_cell_can_be_trained():
    gmm = make()
    gmm.initialize(torch.zeros(4, 3), torch.zeros(4, 3), [0, 1, 1, 1])
    assert 0 < gmm.mixture_probs()[0] < 1e-3
    torch.testing.assert_close(gmm.covariance.detach(), torch.full((4, 3), 1e-6))
    gmm(torch.randn(5, 3)).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in gmm.parameters())


def test_initialize_accepts_cluster_sizes_and_probabilities():
    sizes, probabilities = make(), make()
    sizes.initialize(torch.zeros(4, 3), weight_k=[0, 500, 300, 200])
    probabilities.initialize(torch.zeros(4, 3), weight_k=[0, 0.5, 0.3, 0.2])
    torch.testing.assert_close(sizes.mixture_probs(), probabilities.mixture_probs())


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((torch.zeros(3, 4),), "mean_kl"),
        ((torch.full((4, 3), torch.nan),), "mean_kl"),
        (("centres",), "mean_kl"),
        ((torch.zeros(4, 3), torch.ones(4)), "variance_kl"),
        ((torch.zeros(4, 3), -torch.ones(4, 3)), "variance_kl"),
        ((torch.zeros(4, 3), None, torch.ones(4, 1)), "weight_k"),
        ((torch.zeros(4, 3), None, [1, 1, -1, 1]), "weight_k"),
        ((torch.zeros(4, 3), None, [0, 0, 0, 0]), "weight_k"),
    ],
)
def test_failed_initialize_changes_nothing(arguments, name):
    gmm = make()
    before = copy.deepcopy(gmm.state_dict())
    with pytest.raises(ValueError, match=rf"^`{name}` "):
        gmm.initialize(*arguments)
    assert all(torch.equal(value, before[key]) for key, value in gmm.state_dict().items())


@pytest.mark.parametrize("covariance_type", COVARIANCES)
def test_state_dict_round_trip(covariance_type):
    gmm, other = make(covariance_type, sd_init=(0.3, 1)), make(covariance_type, sd_init=(0.5, 1))
    x = torch.randn(5, 3)
    assert not torch.equal(other.log_density(x), gmm.log_density(x))
    other.load_state_dict(gmm.state_dict())
    assert torch.equal(other.log_density(x), gmm.log_density(x))


@pytest.mark.parametrize("covariance_type", COVARIANCES)
def test_results_have_the_dtype_of_the_module(covariance_type):
    gmm = make(covariance_type).double()
    x = torch.randn(5, 3, dtype=torch.float64)
    values = (gmm(x), gmm.sample(2), gmm.component_sample(2), gmm.prior_log_prob(), gmm.stddev)
    assert {value.dtype for value in values} == {torch.float64}


def test_mixtures_share_no_state():
    arguments = {"mean_init": [2, 5], "sd_init": [0.3, 1]}
    first = make(**arguments)
    state = copy.deepcopy(first.state_dict())
    arguments["mean_init"][0] = 99
    second = make(**arguments)
    with torch.no_grad():
        for parameter in second.parameters():
            parameter.fill_(7)
    assert first.mean_prior == SoftballPrior(3, 2.0, 5.0)
    assert all(torch.equal(value, state[key]) for key, value in first.state_dict().items())


def test_repr_shows_the_arguments():
    shown = repr(make("isotropic"))
    assert "n_mix_comp=4, dim=3, covariance_type='isotropic'" in shown


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"n_mix_comp": 0}, "n_mix_comp"),
        ({"n_mix_comp": "4"}, "n_mix_comp"),
        ({"dim": -2}, "dim"),
        ({"covariance_type": "full"}, "covariance_type"),
        ({"covariance_type": None}, "covariance_type"),
        ({"mean_init": 2}, "mean_init"),
        ({"mean_init": (1, 2, 3)}, "mean_init"),
        ({"mean_init": (-1, 5)}, "mean_init"),
        ({"mean_init": (2, 0)}, "mean_init"),
        ({"sd_init": (0.0, 1)}, "sd_init"),
        ({"sd_init": (0.5, -1)}, "sd_init"),
        ({"sd_init": (0.5,)}, "sd_init"),
        ({"weight_alpha": 0}, "weight_alpha"),
    ],
)
def test_errors_name_the_argument(arguments, name):
    with pytest.raises(ValueError, match=rf"^`{name}\b.*found"):
        make(**arguments)
