"""Labels of cells, and how sure they are."""

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
def test_calibration_is_that_of_the_labels(noise, weight):
    torch.manual_seed(0)
    log_prob, log_share = torch.randn(2, 8_000, 4) * 3
    truth = (1 - noise) * (log_prob / 2.5 + weight * log_share).softmax(1) + noise / 4
    found = calibrate(log_prob, log_share, 2.5, weight, noise)
    torch.testing.assert_close(found.exp().float(), truth)
    labels = torch.distributions.Categorical(truth).sample()
    found = fit_calibration(log_prob, log_share, labels)
    assert found[0] == pytest.approx(2.5, rel=0.11)
    assert found[1] == pytest.approx(weight, abs=0.126)
    assert found[2] == pytest.approx(noise, abs=0.021)


def test_noise_bounds_what_is_predicted(bmmc_cite):
    mdata = bmmc_cite[:100].copy()
    model = fitted(mdata, train={"max_epochs": 2}, labels_key="cell_type")
    hard = model.predict()
    model.label_noise_ = 0.3
    soft = model.predict(soft=True)
    assert soft.to_numpy().min() >= 0.3 / soft.shape[1] - 1e-6
    assert soft.to_numpy().max() <= 0.7 + 0.3 / soft.shape[1] + 1e-6
    assert (soft.idxmax(axis=1) == hard).all()
    np.testing.assert_allclose(soft.sum(axis=1), 1, rtol=1e-5)


def test_without_labels_nothing_is_calibrated():
    nothing = torch.randn(0, 4)
    assert fit_calibration(nothing, nothing, torch.zeros(0)) == pytest.approx((1, 0, 0))


@pytest.mark.parametrize("components", [1, 2])
def test_classes_share_a_correlation(components):
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

    found = class_correlation(*drawn(20_000), mixture)
    np.testing.assert_allclose(found, truth, atol=0.03)
    # Ten cells say little of it.
    few = class_correlation(*drawn(10), mixture)
    assert np.linalg.eigvalsh(few).min() > 0.1
    np.testing.assert_array_equal(np.diag(few), 1)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_labels_that_each_cover_several_types(seed):
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

    # Each class is one normal density, which does not know of its types.
    found = accuracy()
    model._update_learned(cell_subset=None, labels=model._learn_labels(None))
    assert found > max(0.95, accuracy() + 0.03)


def test_shares_of_labels_among_the_nearest():
    generator = np.random.default_rng(0)
    z, labels = generator.normal(size=(400, 3)), generator.integers(0, 4, 400)
    labels[::5] = -1
    rest = np.zeros((400, 1))
    # A row has covariates' places too, which do not count.
    known = CellSubset(np.hstack([z, 100 * rest + labels[:, None]]), rest, labels, rest, rest)
    points = generator.normal(size=(50, 3))
    found = known.label_shares(torch.from_numpy(points), 5)
    is_known = labels >= 0
    votes = KNeighborsClassifier(15).fit(z[is_known], labels[is_known]).predict_proba(points)
    often = (np.bincount(labels[is_known], minlength=5) + 1) / (is_known.sum() + 5)
    np.testing.assert_allclose(found, (np.pad(15 * votes, ((0, 0), (0, 1))) + often) / 16)
    nobody = CellSubset(z, rest, np.full(400, -1), rest, rest)
    np.testing.assert_allclose(nobody.label_shares(torch.from_numpy(points), 5), 0.2)


@pytest.mark.parametrize("n_labelled", [1, 2])
def test_labels_of_very_few_cells(n_labelled):
    mdata = simulate_multiome(n_cells=100, n_genes=20, n_peaks=20)
    labels = np.full(100, "unknown", dtype=object)
    labels[:n_labelled] = "A"
    mdata.obs["few"] = labels
    model = fitted(mdata, train={"max_epochs": 2, "train_size": 1.0}, labels_key="few")
    assert (model.predict() == "A").all()


def test_a_donor_is_labelled_by_another(bmmc_multiome):
    first = (bmmc_multiome.obs["batch"] == "s1d1").to_numpy()
    reference = fitted(
        bmmc_multiome[first].copy(),
        model={"n_latent": 20},
        train={"max_epochs": None, "batch_size": 128},
        labels_key="cell_type",
        batch_key="batch",
    )
    # It may have found none.
    reference.label_weight_ = 0.125
    query = bmmc_multiome[~first].copy()
    model = load(query, reference)
    truth = query.obs["cell_type"].astype(str).to_numpy()
    predicted = model.predict()
    # Far above the most frequent type (0.15) ...
    assert (predicted == truth).mean() > 0.45
    # ... surer of itself where it is right, and not much surer than it is right.
    sure = model.predict(soft=True).max(axis=1).to_numpy()
    assert roc_auc_score(predicted == truth, sure) > 0.6
    assert abs(sure.mean() - (predicted == truth).mean()) < 0.15
    assert model.label_temperature_ == reference.label_temperature_ > 1.5
    assert model.label_noise_ == reference.label_noise_
    assert model.label_weight_ == reference.label_weight_
    # The correlation within types was learned from one donor and holds in the other.
    known = np.isin(truth, reference.summary.labels)
    at = np.arange(len(truth))[known], reference.summary.labels.searchsorted(truth[known])
    cells, w = model._representation(model.adata_manager, None, None)
    correlation = model.label_correlation_
    shaped = model._label_log_prob(model.adata_manager, cells, w, correlation).numpy()
    plain = model._label_log_prob(model.adata_manager, cells, w, None).numpy()
    assert np.mean(shaped[at] - plain[at]) > 0.01


@pytest.mark.slow
def test_cell_lines_of_a_protocol_that_was_not_trained_on(sc_mixology):
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
