"""Quality on real cells, relative to baselines that a defective model would not reach."""

import mudata as md
import numpy as np
import pytest
import scvi
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier
from tests.seeds import SEEDS

from multiDGD import MultiDGD
from multiDGD._scores import batch_mixing, kmeans_nmi_ari, knn_accuracy

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}


def trained(data, *, model=None, train=None, **setup):
    method = MultiDGD.setup_mudata if isinstance(data, md.MuData) else MultiDGD.setup_anndata
    method(data, **setup)
    fitted = MultiDGD(data, **(model or {}))
    fitted.train(**QUIET, **(train or {}))
    return fitted


def log_normalized(x):
    x = x.toarray()
    return np.log1p(x / np.maximum(x.sum(1, keepdims=True), 1) * 1e4)


def pca_of(adata, n=20):
    return PCA(n, random_state=0).fit_transform(log_normalized(adata.X))


def neighbours(train, train_labels, query):
    return KNeighborsClassifier(15).fit(train, train_labels).predict(query)


@pytest.mark.parametrize("seed", SEEDS)
def test_multiome_types_are_better_separated_than_in_joint_pca(bmmc_multiome, seed):
    scvi.settings.seed = seed
    labels = bmmc_multiome.obs["cell_type"].to_numpy()
    model = trained(bmmc_multiome, batch_key="batch")
    z = model.get_latent_representation()
    baseline = np.hstack([pca_of(part, 10) for part in bmmc_multiome.mod.values()])
    assert knn_accuracy(z, labels) > knn_accuracy(baseline, labels) + 0.03
    assert kmeans_nmi_ari(z, labels)[0] > kmeans_nmi_ari(baseline, labels)[0] + 0.05


def test_model_fits_held_out_cells(bmmc_multiome):
    order = np.random.default_rng(0).permutation(500)
    train, query = bmmc_multiome[order[:430]].copy(), bmmc_multiome[order[430:]].copy()
    model = trained(train, batch_key="batch")
    # Nearest neighbours of query cells are of the same type ...
    labels = train.obs["cell_type"].to_numpy()
    truth = query.obs["cell_type"].to_numpy()
    predicted = neighbours(
        model.get_latent_representation(), labels, model.get_latent_representation(query)
    )
    assert (predicted == truth).mean() > 0.45
    # ... and the decoded profile of a cell fits it better than the profile of another cell.
    for modality in ("rna", "atac"):
        x = log_normalized(query[modality].X)
        predicted = np.log1p(
            model.get_normalized_expression(query, modality=modality, return_numpy=True) * 1e4
        )
        own = [np.corrcoef(a, b)[0, 1] for a, b in zip(x, predicted, strict=True)]
        other = [np.corrcoef(a, b)[0, 1] for a, b in zip(x, np.roll(predicted, 1, 0), strict=True)]
        assert np.mean(own) > np.mean(other) + 0.02


def test_hidden_cite_labels_are_predicted(bmmc_cite):
    truth = bmmc_cite.obs["cell_type"].astype(str).to_numpy()
    hidden = np.random.default_rng(0).random(len(truth)) < 0.3
    bmmc_cite.obs["label"] = np.where(hidden, "unknown", truth)
    model = trained(bmmc_cite, labels_key="label", batch_key="batch")
    predicted = model.predict()
    nearest = neighbours(
        np.hstack([pca_of(bmmc_cite[m]) for m in ("rna", "prot")])[~hidden],
        truth[~hidden],
        np.hstack([pca_of(bmmc_cite[m]) for m in ("rna", "prot")])[hidden],
    )
    accuracy = (predicted[hidden] == truth[hidden]).mean()
    assert accuracy > (nearest == truth[hidden]).mean()
    # A known label affects the representation of its cell, but does not outweigh all counts.
    assert (predicted[~hidden] == truth[~hidden]).mean() > max(0.75, accuracy + 0.05)


@pytest.mark.slow
def test_five_cell_lines_in_five_protocols(sc_mixology):
    labels, batch = (sc_mixology.obs[k].astype(str).to_numpy() for k in ("cell_type", "batch"))
    model = trained(sc_mixology, batch_key="batch", model={"n_components": 5})
    z = model.get_latent_representation()
    _, ari = kmeans_nmi_ari(z, labels)
    assert ari > 0.95
    plain = pca_of(sc_mixology)
    assert batch_mixing(z, batch, labels) > batch_mixing(plain, batch, labels) + 0.2
    u = model.get_covariate_representation("batch")
    assert knn_accuracy(u, batch) > 0.95


@pytest.mark.slow
def test_sparse_atac_in_ten_thousand_cells(snareseq):
    labels = snareseq.obs["cell_type"].astype(str).to_numpy()
    model = trained(snareseq, batch_key="batch", train={"max_epochs": 4})
    z = model.get_latent_representation()
    rna = pca_of(snareseq["rna"])
    assert knn_accuracy(z, labels) > knn_accuracy(rna, labels) + 0.02
    loss = model.history["validation_loss"].iloc[:, 0]
    assert loss.iloc[-1] < loss.iloc[0]


def test_single_modality(bmmc_cite):
    labels = bmmc_cite.obs["cell_type"].to_numpy()
    model = trained(bmmc_cite, modalities=["prot"], batch_key="batch", train={"max_epochs": 30})
    z = model.get_latent_representation()
    assert list(model.get_normalized_expression(gene_list=["CD86"]).columns) == ["CD86"]
    assert knn_accuracy(z, labels) > 0.55


@pytest.mark.parametrize("likelihood", ["poisson", "bernoulli"])
def test_poisson_and_bernoulli_on_atac(bmmc_multiome, likelihood):
    labels = bmmc_multiome.obs["cell_type"].to_numpy()
    model = trained(bmmc_multiome, model={"likelihoods": {"atac": likelihood}})
    assert knn_accuracy(model.get_latent_representation(), labels) > 0.5
    open_regions = bmmc_multiome["atac"].X.toarray() > 0
    probability = model.get_accessibility_estimates(return_numpy=True, library_size="latent")
    assert probability[open_regions].mean() > 2 * probability[~open_regions].mean()


def test_saved_model(bmmc_multiome, tmp_path):
    model = trained(bmmc_multiome, batch_key="batch", train={"max_epochs": 5})
    model.save(tmp_path / "model")
    loaded = MultiDGD.load(tmp_path / "model", adata=False)
    np.testing.assert_array_equal(
        loaded.get_latent_representation(), model.get_latent_representation()
    )
    part = bmmc_multiome[[400, 3, 77]].copy()
    z = loaded.get_latent_representation(part)
    np.testing.assert_array_equal(z, model.get_latent_representation()[[400, 3, 77]])
