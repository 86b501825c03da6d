import numpy as np
import pytest
import torch
from scipy import sparse

from multiDGD.module import MultiDGDModule, category_means
from multiDGD.train import initialise_at_zero, initialise_from_embedding


@pytest.fixture
def data():
    """Three groups of cells that differ in the embedding and in their counts."""
    rng = np.random.default_rng(0)
    group = np.arange(60) % 3
    embedding = np.eye(3)[group] * 9 + rng.normal(0, 0.1, (60, 3)) + 5
    x = rng.poisson(np.array([[8, 1, 1, 0], [1, 8, 1, 0], [1, 1, 8, 0]])[group])
    return group, embedding, sparse.csr_matrix(x.astype(np.float32))


def initialised(data, train_cells=None, **kwargs):
    group, embedding, x = data
    torch.manual_seed(0)
    arguments = {"n_latent": 3, "n_components": 3, "covariates": {"batch": 4}, **kwargs}
    module = MultiDGDModule(60, {"rna": 4}, **arguments)
    initialise_from_embedding(
        module,
        embedding,
        {"rna": x},
        train_cells=np.arange(60) if train_cells is None else train_cells,
        labels=np.where(group == 2, -1, group),
        covariates=(np.arange(60) % 4)[:, None],
    )
    return module


def test_representations_are_the_scaled_embedding(data):
    z = initialised(data, softball=(6.0, 5.0)).representations.z[:, :3].detach().numpy()
    assert np.sqrt((z**2).sum(1).mean()) == pytest.approx(3.0, rel=1e-4)
    centred = data[1] - data[1].mean(0)
    np.testing.assert_allclose(z / z.std(), centred / centred.std(), atol=1e-4)


def test_components_match_the_groups(data):
    module = initialised(data)
    z = module.representations.z[:, :3].detach()
    component = module.mixture.clustering(z).numpy()
    assert len(set(zip(component, data[0], strict=True))) == 3
    for k in range(3):
        torch.testing.assert_close(module.mixture.mean[k].detach(), z[component == k].mean(0))
    np.testing.assert_allclose(module.mixture.mixture_probs().detach(), 1 / 3, atol=1e-3)


def test_supervised_components_match_their_class(data):
    module = initialised(data, n_labels=2, n_components_per_class=1)
    z = module.representations.z[:, :3].detach()
    for label in (0, 1):
        own = z[data[0] == label].mean(0)
        torch.testing.assert_close(module.mixture.mean[label].detach(), own, atol=0.05, rtol=0)


@pytest.mark.parametrize("dim", [1, 2])
def test_covariates_are_at_the_separate_means_of_their_categories(data, dim):
    module = initialised(data, n_covariate_latent=dim)
    codes = torch.arange(60)[:, None] % 4
    torch.testing.assert_close(module.representations.z[:, 3:], category_means(module, codes))
    distances = torch.pdist(module.covariate_mixtures[0].mean.detach())
    assert distances.min() > 0.6


def test_decoder_is_initialised_at_the_average_of_the_training_cells(data):
    train = np.flatnonzero(data[0] != 1)
    module = initialised(data, train_cells=train)
    share = module.decoder.head("rna").output.bias.detach().softmax(0).numpy()
    total = np.asarray(data[2][train].sum(0)).ravel()
    np.testing.assert_allclose(share, (total + 0.25) / (total.sum() + 1), rtol=1e-5)
    assert share[3] > 0


def test_likelihoods_are_initialised_at_the_mean_of_the_measured_cells(data):
    group, embedding, x = data
    measured = sparse.csr_matrix(x.toarray() * (group != 0)[:, None])
    module = initialised((group, embedding, measured), likelihoods="protein")
    mean = (np.asarray(measured.sum(0)).ravel() + 0.25) / (group != 0).sum()
    level = module.likelihood("rna").log_level.detach().exp()
    np.testing.assert_allclose(level, mean, rtol=1e-5)


def test_only_training_cells_affect_the_initialisation(data):
    group, embedding, x = data
    train = np.arange(40)
    moved = embedding.copy()
    moved[40:] += 100
    one = initialised(data, train_cells=train).state_dict()
    two = initialised((group, moved, x), train_cells=train).state_dict()
    for key, value in one.items():
        if key == "representations.z":
            torch.testing.assert_close(value[:40], two[key][:40])
        else:
            torch.testing.assert_close(value, two[key])


def test_initialise_at_zero(data):
    module = initialised(data)
    initialise_at_zero(module)
    assert (module.representations.z == 0).all()
