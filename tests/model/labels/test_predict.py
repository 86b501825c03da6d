"""Predicted labels and the calibration of their probabilities."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KNeighborsClassifier
from tests.model.fitting import fitted, load

from multiDGD.datasets import simulate_multiome
from multiDGD.latent import GaussianMixtureSupervised
from multiDGD.model.core._cell_subset import CellSubset
from multiDGD.model.labels._class_correlation import class_correlation
from multiDGD.stats import calibrate, fit_calibration


@pytest.mark.parametrize("weight", [0.0, 0.75])
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_fitted_calibration_recovers_that_of_the_labels(noise, weight):
    torch.manual_seed(0)
    log_prob, log_share = torch.randn(2, 8_000, 4) * 3
    truth = (1 - noise) * (log_prob / 2.5 + weight * log_share).softmax(1) + noise / 4
    calibrated = calibrate(log_prob, log_share, 2.5, weight, noise)
    torch.testing.assert_close(calibrated.exp().float(), truth)
    labels = torch.distributions.Categorical(truth).sample()
    fitted_parameters = fit_calibration(log_prob, log_share, labels)
    assert fitted_parameters[0] == pytest.approx(2.5, rel=0.11)
    assert fitted_parameters[1] == pytest.approx(weight, abs=0.126)
    assert fitted_parameters[2] == pytest.approx(noise, abs=0.021)


def test_noise_bounds_the_probabilities(bmmc_cite):
    mdata = bmmc_cite[:100].copy()
    model = fitted(mdata, train={"max_epochs": 2}, labels_key="cell_type")
    hard = model.predict()
    model.label_noise_ = 0.3
    soft = model.predict(soft=True)
    assert soft.to_numpy().min() >= 0.3 / soft.shape[1] - 1e-6
    assert soft.to_numpy().max() <= 0.7 + 0.3 / soft.shape[1] + 1e-6
    assert (soft.idxmax(axis=1) == hard).all()
    np.testing.assert_allclose(soft.sum(axis=1), 1, rtol=1e-5)


def test_calibration_without_labels_is_the_identity():
    empty = torch.randn(0, 4)
    assert fit_calibration(empty, empty, torch.zeros(0)) == pytest.approx((1, 0, 0))


@pytest.mark.parametrize("components", [1, 2])
def test_correlation_within_classes_is_recovered(components):
    torch.manual_seed(0)
    mixture = GaussianMixtureSupervised(3, components, 4, "diagonal", (2.0, 5.0), (0.2, 1.0))
    truth = torch.eye(4)
    truth[0, 1] = truth[1, 0] = -0.7
    truth[2, 3] = truth[3, 2] = 0.3
    root = torch.linalg.cholesky(truth)

    def drawn(n):
        component = torch.randint(3 * components, (n,))
        noise = (torch.randn(n, 4) @ root.T) * mixture.stddev[component]
        return mixture.mean[component] + noise, component // components

    estimate = class_correlation(*drawn(20_000), mixture)
    np.testing.assert_allclose(estimate, truth, atol=0.03)
    # The estimate from ten cells is shrunk towards zero.
    few = class_correlation(*drawn(10), mixture)
    assert np.linalg.eigvalsh(few).min() > 0.1
    np.testing.assert_array_equal(np.diag(few), 1)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_neighbours_improve_labels_that_cover_several_types(seed):
    mdata = simulate_multiome(
        1200, n_genes=60, n_peaks=60, n_types=8, rna_library_size=300.0, seed=seed
    )
    truth = np.where(mdata.obs["cell_type"].cat.codes < 4, "a", "b")
    hidden = np.random.default_rng(0).random(len(truth)) < 0.3
    mdata.obs["label"] = np.where(hidden, "unknown", truth)
    train = {"max_epochs": 20, "batch_size": 64}
    model = fitted(mdata, model={"n_latent": 10}, train=train, labels_key="label")

    def accuracy():
        return (model.predict()[hidden] == truth[hidden]).mean()

    # A class has a single normal density, which does not describe several types.
    with_neighbours = accuracy()
    model._update_learned(cell_subset=None, labels=model._learn_labels(None))
    assert 1 - with_neighbours < min(0.05, (1 - accuracy()) / 2)


def test_label_shares_of_the_nearest_neighbours():
    generator = np.random.default_rng(0)
    z, labels = generator.normal(size=(400, 3)), generator.integers(0, 4, 400)
    labels[::5] = -1
    zeros = np.zeros((400, 1))
    # The columns of covariate representations do not affect distances.
    w = np.hstack([z, 100 * zeros + labels[:, None]])
    subset = CellSubset(w, zeros, labels, zeros, zeros)
    points = generator.normal(size=(50, 3))
    shares = subset.label_shares(torch.from_numpy(points), 5)
    labelled = labels >= 0
    votes = KNeighborsClassifier(15).fit(z[labelled], labels[labelled]).predict_proba(points)
    frequency = (np.bincount(labels[labelled], minlength=5) + 1) / (labelled.sum() + 5)
    np.testing.assert_allclose(shares, (np.pad(15 * votes, ((0, 0), (0, 1))) + frequency) / 16)
    unlabelled = CellSubset(z, zeros, np.full(400, -1), zeros, zeros)
    np.testing.assert_allclose(unlabelled.label_shares(torch.from_numpy(points), 5), 0.2)


@pytest.mark.parametrize("n_labelled", [1, 2])
def test_labels_of_very_few_cells(n_labelled):
    mdata = simulate_multiome(n_cells=100, n_genes=20, n_peaks=20)
    labels = np.full(100, "unknown", dtype=object)
    labels[:n_labelled] = "A"
    mdata.obs["few"] = labels
    model = fitted(mdata, train={"max_epochs": 2, "train_size": 1.0}, labels_key="few")
    assert (model.predict() == "A").all()


def test_labels_are_transferred_to_another_donor(bmmc_multiome):
    first = (bmmc_multiome.obs["batch"] == "s1d1").to_numpy()
    reference = fitted(
        bmmc_multiome[first].copy(),
        model={"n_latent": 20},
        train={"max_epochs": None, "batch_size": 128},
        labels_key="cell_type",
        batch_key="batch",
    )
    # The fitted weight can be 0.
    reference.label_weight_ = 0.125
    query = bmmc_multiome[~first].copy()
    model = load(query, reference)
    truth = query.obs["cell_type"].astype(str).to_numpy()
    predicted = model.predict()
    # Far above the most frequent type (0.15) ...
    assert (predicted == truth).mean() > 0.45
    # ... with a higher probability if correct, and a mean probability close to the accuracy.
    probability = model.predict(soft=True).max(axis=1).to_numpy()
    assert roc_auc_score(predicted == truth, probability) > 0.6
    assert abs(probability.mean() - (predicted == truth).mean()) < 0.15
    assert model.label_temperature_ == reference.label_temperature_ > 1.5
    assert model.label_noise_ == reference.label_noise_
    assert model.label_weight_ == reference.label_weight_
    # The correlation within types, learned from one donor, improves the fit to the other.
    known = np.isin(truth, reference.summary.labels)
    at = np.arange(len(truth))[known], reference.summary.labels.searchsorted(truth[known])
    cells, w = model._representation(model.adata_manager, None, None)
    correlation = model.label_correlation_
    correlated = model._label_log_prob(model.adata_manager, cells, w, correlation).numpy()
    independent = model._label_log_prob(model.adata_manager, cells, w, None).numpy()
    assert np.mean(correlated[at] - independent[at]) > 0.01


@pytest.mark.slow
def test_labels_are_transferred_to_another_protocol(sc_mixology):
    genes = np.argsort(-np.asarray(sc_mixology.X.sum(0)).ravel())[:3000]
    new = (sc_mixology.obs["batch"] == "sc_celseq2").to_numpy()
    reference = fitted(
        sc_mixology[~new, genes].copy(),
        model={"n_latent": 20},
        train={"max_epochs": None, "batch_size": 128},
        labels_key="cell_type",
        batch_key="batch",
    )
    query = sc_mixology[new].copy()
    model = load(query, reference, max_epochs=None)
    truth = query.obs["cell_type"].astype(str).to_numpy()
    assert (model.predict() == truth).mean() > 0.97
