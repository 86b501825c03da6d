"""Scores by count splitting, on simulations, real cells and invalid input."""

import mudata as md
import numpy as np
import pytest
import scvi
import torch
from scipy import sparse
from sklearn.decomposition import PCA
from tests.model.fitting import fitted
from tests.seeds import SEEDS
from tests.toy import toy_adata, toy_mudata

from multiDGD import MultiDGD
from multiDGD.inference import infer_representations
from multiDGD.stats import ProfileScores, split_counts

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}


@pytest.fixture(scope="module")
def model():
    scvi.settings.seed = 0
    return fitted(toy_mudata(60), batch_key="batch")


def test_columns_and_order_of_cells(model):
    found = model.get_count_split_score(indices=[5, 2, 9])
    assert list(found.index) == ["cell5", "cell2", "cell9"]
    assert set(found.columns.get_level_values(0)) == {"rna", "atac"}
    assert found["rna"]["n_counts"].between(0, 60).all()
    summary = found.attrs["summary"]["rna"]
    counts = found["rna"]["n_counts"]
    expected = (found["rna"]["decoded"] * counts).sum() / counts.sum()
    assert summary["decoded"] == pytest.approx(expected)


def test_repeats_and_leaves_generators_and_data_alone(model):
    before = model.adata["rna"].X.copy()
    torch.manual_seed(1)
    state = torch.get_rng_state()
    one, other = (model.get_count_split_score(n_splits=2) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(one, other)
    assert (model.adata["rna"].X != before).nnz == 0
    assert not np.allclose(one, model.get_count_split_score(n_splits=2, seed=1), equal_nan=True)


def test_representations_are_inferred_from_the_other_part(model, monkeypatch):
    passed = []

    def infer(module, batches):
        passed.extend(batch["counts"]["rna"].to_dense().numpy() for batch in batches)
        return infer_representations(module, batches)

    monkeypatch.setattr("multiDGD.model.decoding._count_split.infer_representations", infer)
    found = model.get_count_split_score(fraction=0.3)
    first, whole = np.concatenate(passed), model.adata["rna"].X.toarray()
    assert (first <= whole).all()
    np.testing.assert_array_equal(found["rna"]["n_counts"], (whole - first).sum(1))
    assert first.sum() / whole.sum() == pytest.approx(0.3, abs=0.05)


def test_features_without_structure_are_not_predicted(model):
    """Counts of the toy are Poisson with one rate, so that no profile beats the average."""
    cells = toy_mudata(400)
    cells.obs_names = [f"other{i}" for i in range(400)]
    summary = model.get_count_split_score(cells).attrs["summary"]
    assert all(abs(s["posterior"]) < 0.05 for s in summary.values())


def test_half_of_the_noise_is_not_rewarded():
    """A model that fits every count is no better on the other half than its true profile."""
    rng = np.random.default_rng(0)
    types = rng.dirichlet(np.full(40, 0.5), 3)
    label = rng.integers(0, 3, 500)
    adata = toy_adata(500, 40)
    adata.X = sparse.csr_matrix(
        np.stack([rng.multinomial(100, types[k]) for k in label]).astype(np.float32)
    )
    train, test = adata[:400].copy(), adata[400:].copy()
    model = fitted(train, train={"max_epochs": 40})
    (found,) = model.get_count_split_score(test).attrs["summary"].values()
    average = np.asarray(test.X.sum(0)).ravel()
    truth = ProfileScores((average + 1e-3) / (average + 1e-3).sum())
    x = test.X.toarray()
    second = x - split_counts(x, 0.5, rng)
    profiles = types[label[400:]]
    truth.add(second, profiles, profiles, np.ones(100, bool), np.zeros(100))
    best = truth.summary()["decoded"]
    assert 0.8 * best < found["decoded"] < 1.02 * best


@pytest.mark.parametrize("seed", SEEDS)
def test_real_proteins_are_predicted_better_than_by_principal_components(bmmc_cite, seed):
    scvi.settings.seed = seed
    order = np.random.default_rng(seed).permutation(bmmc_cite.n_obs)
    train, test = bmmc_cite[order[100:]].copy(), bmmc_cite[order[:100]].copy()
    MultiDGD.setup_mudata(train, batch_key="batch")
    model = MultiDGD(train)
    model.train(max_epochs=30, **QUIET)
    found = model.get_count_split_score(test).attrs["summary"]

    x, y = (part["prot"].X.toarray() for part in (train, test))
    rng = np.random.default_rng(0)
    first = split_counts(y, 0.5, rng)
    size = np.median(x.sum(1))

    def normalised(counts):
        return np.log1p(counts * size / counts.sum(1, keepdims=True))

    pca = PCA(20, random_state=0).fit(normalised(x))
    predicted = np.expm1(pca.inverse_transform(pca.transform(normalised(first))).clip(0)) + 1e-12
    average = y.sum(0) + 1e-3
    baseline = ProfileScores(average / average.sum())
    baseline.add(y - first, predicted, predicted, np.ones(len(y), bool), np.zeros(len(y)))
    assert found["prot"]["posterior"] > baseline.summary()["decoded"] + 0.05
    assert found["rna"]["posterior"] > found["rna"]["decoded"] > 0.3


def test_query_with_some_features_and_a_missing_modality(model):
    query = md.MuData({"rna": model.adata["rna"][:20, 3:].copy()})
    query["rna"].obs_names = [f"new{i}" for i in range(20)]
    query.update()
    query.obs["batch"] = "b0"
    found = model.get_count_split_score(query)
    assert list(found.columns.get_level_values(0).unique()) == ["rna"]
    assert np.isfinite(found["rna"]["posterior"]).any()


def test_no_cells(model):
    assert model.get_count_split_score(indices=[]).shape == (0, 8)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"fraction": 1.0}, "`fraction`.*1.0"),
        ({"fraction": np.nan}, "`fraction`"),
        ({"n_splits": 0}, "`n_splits`"),
        ({"thinning": "half"}, "`thinning`.*half"),
        ({"seed": 0.5}, "`seed`"),
        ({"seed": -1}, "`seed`.*-1"),
        ({"indices": [99]}, "`indices`.*99"),
    ],
)
def test_invalid_arguments(model, wrong, message):
    with pytest.raises(ValueError, match=message):
        model.get_count_split_score(**wrong)
