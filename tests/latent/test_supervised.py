import inspect
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from multiDGD.latent import GaussianMixture, GaussianMixtureSupervised

F64 = torch.float64
COVARIANCES = ["diagonal", "isotropic", "fixed"]


def make(n_class=3, n_per_class=2, dim=4, covariance_type="isotropic", **kwargs):
    torch.manual_seed(0)
    gmm = GaussianMixtureSupervised(
        n_class, n_per_class, dim, covariance_type, mean_init=(2, 5), **kwargs
    ).double()
    with torch.no_grad():
        for parameter in gmm.parameters():
            parameter.normal_()
    return gmm


def class_distribution(gmm, c):
    own = slice(c * gmm.Ncompperclass, (c + 1) * gmm.Ncompperclass)
    scale = gmm.stddev.expand_as(gmm.mean)[own]
    components = Independent(Normal(gmm.mean[own], scale), 1)
    return MixtureSameFamily(Categorical(logits=gmm.weight[own]), components)


@pytest.mark.parametrize("covariance_type", COVARIANCES)
@pytest.mark.parametrize("n_per_class", [1, 2, 5])
def test_labelled_density_matches_the_mixture_of_the_class(covariance_type, n_per_class):
    gmm = make(3, n_per_class, covariance_type=covariance_type)
    assert (gmm.Nclass, gmm.Ncompperclass) == (3, n_per_class)
    assert gmm.n_mix_comp == 3 * n_per_class
    x = torch.randn(9, 4, dtype=F64)
    label = torch.arange(9) % 3
    expected = torch.stack([class_distribution(gmm, c).log_prob(x) for c in range(3)], 1)
    torch.testing.assert_close(
        gmm.log_density(x, label), expected.gather(1, label[:, None]).squeeze(1)
    )


def test_unlabelled_density_matches_the_full_mixture():
    gmm = make()
    plain = GaussianMixture(6, 4, "isotropic", mean_init=(2, 5)).double()
    plain.load_state_dict(gmm.state_dict())
    x = torch.randn(5, 4, dtype=F64)
    for found in (gmm(x), gmm(x, None), gmm(x, label=[-1] * 5)):
        torch.testing.assert_close(found, plain(x))
    assert torch.equal(gmm.clustering(x), plain.clustering(x))


def test_labelled_and_unlabelled_points_in_one_call():
    gmm = make()
    x = torch.randn(6, 4, dtype=F64)
    found = gmm.log_density(x, [0, -1, 2, -1, -1, 1])
    known = torch.tensor([0, 2, 5])
    torch.testing.assert_close(found[known], gmm.log_density(x[known], [0, 2, 1]))
    unknown = torch.tensor([1, 3, 4])
    torch.testing.assert_close(found[unknown], gmm.log_density(x[unknown]))


def test_log_prob_adds_the_prior_and_forward_is_the_loss():
    gmm = make(alpha=2.0)
    assert gmm.weight_alpha == 2
    x, label = torch.randn(3, 4, dtype=F64), [0, -1, 2]
    expected = gmm.log_density(x, label) + gmm.prior_log_prob()
    torch.testing.assert_close(gmm.log_prob(x, label), expected)
    assert torch.equal(gmm(x, label), -gmm.log_prob(x, label))


@pytest.mark.parametrize("label", [None, [0, 1, 2, 1, 0], [0, -1, 2, -1, 1]])
@pytest.mark.parametrize("covariance_type", COVARIANCES)
def test_gradients_match_finite_differences(label, covariance_type):
    gmm = make(covariance_type=covariance_type, alpha=2.0)
    names = [name for name, _ in gmm.named_parameters()]
    x = torch.randn(5, 4, dtype=F64, requires_grad=True)

    def loss(x, *values):
        state = dict(zip(names, values, strict=True))
        return torch.func.functional_call(gmm, state, (x,), {"label": label})

    values = [p.detach().clone().requires_grad_() for p in gmm.parameters()]
    assert torch.autograd.gradcheck(loss, (x, *values))


def test_full_density_is_the_sum_over_classes():
    gmm = make()
    x = torch.randn(7, 4, dtype=F64)
    log_class = gmm.mixture_probs().view(3, 2).sum(1).log()
    joint = torch.stack([gmm.log_density(x, [c] * 7) for c in range(3)], 1) + log_class
    torch.testing.assert_close(gmm.log_density(x), joint.logsumexp(1))
    posterior = gmm.class_log_prob(x)
    assert posterior.shape == (7, 3)
    torch.testing.assert_close(posterior, joint.log_softmax(1))


def test_class_posterior_is_correct_far_from_the_origin():
    gmm = make()
    with torch.no_grad():
        gmm.mean.mul_(1e5)
    posterior = gmm.float().class_log_prob(gmm.mean)
    assert torch.equal(posterior.argmax(1), torch.tensor([0, 0, 1, 1, 2, 2]))
    assert torch.isfinite(posterior).all()


def test_a_label_has_gradients_only_for_its_own_components():
    gmm = make()
    gmm.log_density(torch.randn(4, 4, dtype=F64), [1] * 4).sum().backward()
    has_gradient = gmm.mean.grad.abs().sum(1) > 0
    assert has_gradient.tolist() == [False, False, True, True, False, False]
    assert torch.equal(gmm.weight.grad != 0, has_gradient)


@pytest.mark.parametrize(
    "label",
    [
        [0, 2, -1],
        (0, 2, -1),
        np.array([0, 2, -1], dtype=np.int8),
        np.array([[0], [2], [-1]]),
        torch.tensor([0, 2, -1], dtype=torch.int32),
        pd.Series([0, 2, -1], index=["a", "b", "c"]),
        pd.Categorical(["B", "T", None], categories=["B", "NK", "T"]).codes,
    ],
    ids=["list", "tuple", "int8", "column", "int32", "series", "codes"],
)
def test_labels_of_every_type(label):
    gmm = make()
    x = torch.randn(3, 4, dtype=F64)
    before = str(label)
    assert torch.equal(gmm(x, label), gmm(x, torch.tensor([0, 2, -1])))
    assert str(label) == before


def test_999_is_unlabelled_with_a_warning():
    gmm = make()
    x = torch.randn(3, 4, dtype=F64)
    label = torch.tensor([0, 999, 2])
    with pytest.warns(FutureWarning, match="use -1"):
        found = gmm(x, label)
    assert torch.equal(found, gmm(x, [0, -1, 2]))
    assert label.tolist() == [0, 999, 2]


def test_999_is_a_valid_label_among_a_thousand_classes():
    gmm = make(1000, 1)
    x = torch.randn(1, 4, dtype=F64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = gmm.log_density(x, [999])
    torch.testing.assert_close(found, class_distribution(gmm, 999).log_prob(x))


def test_thirty_thousand_classes():
    gmm = make(30_000, 1, dim=2).float()
    label = torch.tensor([0, 128, 29_999])
    assert torch.isfinite(gmm(gmm.mean[label], label)).all()
    with torch.no_grad():
        gmm.mean[:, 0] = torch.arange(30_000) * 100
    assert torch.equal(gmm.class_log_prob(gmm.mean[label]).argmax(1), label)
    assert torch.equal(gmm.supervised_sampling(label, "mean"), gmm.mean[label])


@pytest.mark.parametrize("distance", [0.0, 1e6])
def test_far_means_keep_loss_and_gradients_finite(distance):
    gmm = make().float()
    with torch.no_grad():
        gmm.mean.copy_(gmm.mean.sign() * distance)
    loss = gmm(torch.randn(4, 4), [0, 1, -1, 2])
    loss.sum().backward()
    for value in (loss, *(p.grad for p in gmm.parameters())):
        assert torch.isfinite(value).all()


def test_label_mixture_probs():
    gmm = make(3, 4)
    label = [2, 0, 2, 1]
    found = gmm.label_mixture_probs(label)
    torch.testing.assert_close(found, gmm.weight.view(3, 4).softmax(1)[label])
    torch.testing.assert_close(gmm.label_mixture_probs(np.int64(1)), found[3:])


def test_random_samples_have_the_moments_of_the_class():
    gmm = make()
    for c in range(3):
        torch.manual_seed(c)
        truth = class_distribution(gmm, c)
        x = gmm.supervised_sampling([c] * 20_000)
        assert x.shape == (20_000, 4)
        assert not x.requires_grad
        error = (truth.variance / 20_000).sqrt()
        assert ((x.mean(0) - truth.mean).abs() < 5 * error).all()
        torch.testing.assert_close(x.var(0), truth.variance, rtol=0.05, atol=0)


def test_unlabelled_samples_come_from_the_full_mixture():
    gmm = make()
    torch.manual_seed(0)
    with torch.no_grad():
        gmm.mean.copy_(torch.arange(6.0)[:, None].expand(6, 4) * 100)
    component = gmm.clustering(gmm.supervised_sampling([-1] * 20_000))
    found = component.bincount(minlength=6) / 20_000
    torch.testing.assert_close(found.double(), gmm.mixture_probs().detach(), atol=0.02, rtol=0)
    order = gmm.clustering(gmm.supervised_sampling([1, -1, 2, 0]))
    assert (order // 2)[[0, 2, 3]].tolist() == [1, 2, 0]


def test_mean_samples_are_the_most_probable_components():
    gmm = make()
    with torch.no_grad():
        gmm.weight.copy_(torch.tensor([2.8, 2.9, 3, -5, -1, -2]))
    found = gmm.supervised_sampling([2, 0, -1, 1], sample_type="mean")
    assert torch.equal(found, gmm.mean[[4, 1, 2, 2]])
    assert not found.requires_grad
    found.fill_(0)
    assert (gmm.mean != 0).all()


def test_sampling_is_reproducible():
    gmm = make()
    torch.manual_seed(5)
    first = gmm.supervised_sampling([0, -1, 2])
    torch.manual_seed(5)
    assert torch.equal(gmm.supervised_sampling([0, -1, 2]), first)


def test_empty_labels_give_empty_results():
    gmm = make()
    assert gmm.supervised_sampling([]).shape == (0, 4)
    assert gmm.log_density(torch.zeros(0, 4, dtype=F64), []).shape == (0,)
    assert gmm.class_log_prob(torch.zeros(0, 4, dtype=F64)).shape == (0, 3)


def test_state_dict_round_trip():
    gmm, other = make(), make(alpha=1)
    with torch.no_grad():
        other.mean.zero_()
    other.load_state_dict(gmm.state_dict())
    x = torch.randn(3, 4, dtype=F64)
    assert torch.equal(other(x, [0, 1, -1]), gmm(x, [0, 1, -1]))


def test_is_a_gaussian_mixture():
    gmm = make()
    assert isinstance(gmm, GaussianMixture)
    for name in ("log_prob", "forward", "log_density"):
        assert inspect.signature(getattr(gmm, name)).parameters["label"].default is None
    gmm.initialize(torch.ones(6, 4), weight_k=[1, 3, 1, 1, 2, 2])
    expected = torch.tensor([[0.25, 0.75]], dtype=F64)
    torch.testing.assert_close(gmm.label_mixture_probs([0]).detach(), expected)


@pytest.mark.gpu
def test_labels_move_to_the_device_of_the_module():
    gmm = make()
    x, label = torch.randn(3, 4, dtype=F64), [0, -1, 2]
    expected = gmm(x, label)
    gmm.cuda()
    torch.testing.assert_close(gmm(x.cuda(), label).cpu(), expected)
    assert gmm.supervised_sampling(label).is_cuda
    assert gmm.label_mixture_probs([1]).is_cuda


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda gmm, x: gmm(x, [0, 1]), "label"),
        (lambda gmm, x: gmm(x, [[0, 1, 2]]), "label"),
        (lambda gmm, x: gmm(x, [0, 1, 3]), "label"),
        (lambda gmm, x: gmm(x, [0, 1, -2]), "label"),
        (lambda gmm, x: gmm(x, [0, 999, 7]), "label"),
        (lambda gmm, x: gmm(x, [0.0, 1.0, 2.0]), "label"),
        (lambda gmm, x: gmm(x, [True, False, True]), "label"),
        (lambda gmm, x: gmm(x, ["T", "B", "NK"]), "label"),
        (lambda gmm, x: gmm(x[:, :3], [0, 1, 2]), "x"),
        (lambda gmm, x: gmm.class_log_prob(x[0]), "x"),
        (lambda gmm, x: gmm.label_mixture_probs([0, -1]), "label"),
        (lambda gmm, x: gmm.label_mixture_probs([3]), "label"),
        (lambda gmm, x: gmm.supervised_sampling([3]), "label"),
        (lambda gmm, x: gmm.supervised_sampling([0], "median"), "sample_type"),
        (lambda gmm, x: make(n_class=0), "Nclass"),
        (lambda gmm, x: make(n_per_class=1.5), "Ncompperclass"),
        (lambda gmm, x: make(dim=0), "dim"),
        (lambda gmm, x: make(alpha=-1), "alpha"),
        (lambda gmm, x: make(covariance_type="full"), "covariance_type"),
    ],
)
def test_errors_name_the_argument(call, name):
    with pytest.raises(ValueError, match=rf"^`{name}` .*found"):
        call(make(), torch.zeros(3, 4, dtype=F64))


def test_added_classes_do_not_change_the_others():
    torch.manual_seed(0)
    gmm = GaussianMixtureSupervised(3, 2, dim=4, mean_init=(2.0, 5.0))
    x, label = torch.randn(7, 4), [0, 1, 2, 0, 1, 2, 2]
    before = gmm.log_density(x, label)
    gmm.add_classes(2)
    torch.testing.assert_close(gmm.log_density(x, label), before)
    assert gmm.log_density(x, [4] * 7).shape == (7,)
    assert gmm.class_log_prob(x).shape == (7, 5)
    torch.testing.assert_close(gmm.mean[6:], gmm.mean[:6].mean(0).expand(4, 4))
    assert gmm.mean.requires_grad and gmm.mean.is_leaf
    for n in (0, 1.5):
        with pytest.raises(ValueError, match="`n_new`"):
            gmm.add_classes(n)
