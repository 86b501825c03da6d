"""Models of cells whose antibody panels differ."""

import numpy as np
import pytest
import scvi
from scipy import sparse
from tests.data.test_panels import as_anndata
from tests.model.fitting import fitted, load, renamed_mudata
from tests.panels import LACKING, two_panels, without_lacking
from tests.seeds import SEEDS

from multiDGD import MultiDGD, pl

KEYS = {"batch_key": "batch", "panel_key": "batch"}
NAMES = [f"p{j}" for j in LACKING]


@pytest.fixture(scope="module")
def model():
    """A shared model, which tests do not change."""
    scvi.settings.seed = 0
    return fitted(two_panels()[0], train={"max_epochs": 15}, **KEYS)


def lacking_cells(mdata):
    return mdata.obs["batch"].to_numpy() == "b0"


@pytest.mark.parametrize("seed", SEEDS)
def test_unmeasured_proteins_are_predicted(seed):
    scvi.settings.seed = seed
    mdata, truth = two_panels(seed, n_cells=600)
    cells, columns = lacking_cells(mdata), list(LACKING)
    model = fitted(mdata, {"n_latent": 20}, {"max_epochs": None, "batch_size": 128}, **KEYS)
    found = model.get_normalized_expression(modality="prot", library_size="latent")[NAMES]
    found, truth = found.to_numpy()[cells], truth[np.ix_(cells, columns)]
    ratio = found.mean(0) / truth.mean(0)
    assert (np.abs(ratio - 1) < 0.25).all(), ratio
    for j in range(len(columns)):
        assert np.corrcoef(found[:, j], truth[:, j])[0, 1] > 0.6


def test_without_panels_unmeasured_proteins_are_predicted_as_zero():
    mdata, truth = two_panels()
    model = fitted(mdata, train={"max_epochs": 15}, batch_key="batch")
    found = model.get_normalized_expression(modality="prot", library_size="latent")[NAMES]
    cells = lacking_cells(mdata)
    ratio = found.to_numpy()[cells].mean() / truth[np.ix_(cells, list(LACKING))].mean()
    assert ratio < 0.2


@pytest.mark.parametrize("seed", SEEDS)
def test_predictions_on_real_data(_read, seed):
    scvi.settings.seed = seed
    mdata = _read("bmmc_cite.h5mu").copy()
    batch = mdata.obs["batch"].astype(str).to_numpy()
    cells = batch == batch[0]
    x = mdata["prot"].X.toarray()
    abundant = np.argsort(-x[~cells].mean(0))[:40]
    columns = np.random.default_rng(seed).choice(abundant, 5, replace=False)
    truth = np.log1p(x[np.ix_(cells, columns)])
    depth = np.log1p(np.delete(x, columns, axis=1).sum(1)[cells])
    x[np.ix_(np.flatnonzero(cells), columns)] = 0
    mdata["prot"].X = sparse.csr_matrix(x)
    model = fitted(mdata, {"n_latent": 20}, {"max_epochs": None, "batch_size": 128}, **KEYS)
    names = list(mdata["prot"].var_names[columns])
    found = model.get_normalized_expression(
        modality="prot", gene_list=names, library_size="latent", return_numpy=True
    )
    r = [np.corrcoef(np.log1p(found[cells, j]), truth[:, j])[0, 1] for j in range(5)]
    # The mean of the other batch at the library size of each cell.
    baseline = [np.corrcoef(depth, truth[:, j])[0, 1] for j in range(5)]
    assert np.mean(r) > 0.65
    assert np.mean(r) > np.mean(baseline) + 0.4


def answers(model, data):
    """Results for each cell that depend on its counts."""
    return {
        "representation": model.get_latent_representation(data),
        "marginal": model.get_marginal_ll(data, n_mc_samples=20, return_mean=False),
        "elbo": model.get_elbo(data, n_mc_samples=5, return_mean=False),
        "typicality": model.get_typicality(data),
        "error": list(model.get_reconstruction_error(data).values()),
        "count split": model.get_count_split_score(data),
        "expression": model.get_normalized_expression(
            data, modality="prot", library_size="latent"
        ),
        "conditional": model.get_normalized_expression(
            data, modality="prot", condition_on_counts=True
        ),
        "interval": np.stack(
            model.get_expression_interval(
                data, modality="prot", library_size="latent", return_numpy=True
            )
        ),
        "imputed": model.impute(data, modality="prot"),
        "foreground": model.get_protein_foreground_probability(data),
    }


def test_panels_equal_objects_without_the_features(model):
    """The features of a panel and the columns of an object restrict the module alike."""
    query = renamed_mudata(model.adata, "new")
    query = query[lacking_cells(query)].copy()
    expected = answers(model, without_lacking(query))
    for name, found in answers(model, query).items():
        np.testing.assert_allclose(found, expected[name], rtol=1e-4, atol=1e-5, err_msg=name)
    # As counts of the other panel, the zeros change the representations.
    query = renamed_mudata(query, "other")
    query.obs["batch"] = "b1"
    found = model.get_latent_representation(query)
    assert np.abs(found - expected["representation"]).max() > 0.1


def test_mixed_cells_have_the_results_of_their_panels(model):
    query = renamed_mudata(model.adata, "mixed")
    cells = lacking_cells(query)
    mixed = answers(model, query)
    alone = answers(model, renamed_mudata(query[cells].copy(), ""))
    for name in ("representation", "marginal", "elbo", "typicality", "expression", "foreground"):
        np.testing.assert_allclose(
            np.asarray(mixed[name])[cells], alone[name], rtol=1e-4, atol=1e-5, err_msg=name
        )
    interval = mixed["interval"][:, cells]
    np.testing.assert_allclose(interval, alone["interval"], rtol=1e-4, atol=1e-5)


def test_library_sizes_include_unmeasured_features(model):
    cells = lacking_cells(model.adata)
    own = model.adata_manager.libraries[:, 1]
    found = model.get_normalized_expression(
        modality="prot", library_size="latent", return_numpy=True
    )
    measured = np.delete(found, list(LACKING), axis=1).sum(1)
    np.testing.assert_allclose(measured[cells], own[cells], rtol=1e-4)
    assert (found.sum(1)[cells] > own[cells] * 1.01).all()
    np.testing.assert_allclose(found.sum(1)[~cells], own[~cells], rtol=1e-4)


def test_other_methods(model):
    cells = lacking_cells(model.adata)
    table = model.differential_expression(
        idx1=np.flatnonzero(cells),
        idx2=np.flatnonzero(~cells),
        modality="prot",
        silent=True,
    )
    assert np.isnan(table.loc[NAMES, "raw_mean1"]).all()
    assert np.isfinite(table.drop(index=NAMES).select_dtypes(float)).all(axis=None)
    # There is no evidence about a protein that a whole group lacks.
    assert not table.loc[NAMES, "is_de_fdr_0.05"].any()
    mixed = model.differential_expression(
        idx1=np.arange(0, 300, 3), idx2=np.arange(1, 300, 3), modality="prot", silent=True
    )
    assert np.isfinite(mixed.select_dtypes(float)).all(axis=None)
    drawn = model.posterior_predictive_sample(n_samples=1)["prot"].todense()
    expected = model.get_normalized_expression(
        modality="prot", library_size="latent", return_numpy=True
    )
    np.testing.assert_allclose(drawn[cells].mean(0), expected[cells].mean(0), rtol=0.3)
    assert np.isfinite(model.sample(20, seed=0)["prot"].X.toarray()).all()
    assert np.isfinite(model.get_normalized_expression(modality="prot", n_samples=2)).all(
        axis=None
    )
    pl.counts_vs_predicted(model, "prot", show=False)


def test_labels_are_predicted_with_panels():
    mdata, _ = two_panels()
    mdata.obs["label"] = np.array(["A", "B"])[np.arange(300) // 2 % 2]
    model = fitted(mdata, labels_key="label", **KEYS)
    assert model.predict(soft=True).shape == (300, 2)


def test_history_with_count_splits():
    model = fitted(
        two_panels()[0], train={"plan_kwargs": {"split_validation_counts": True}}, **KEYS
    )
    score = model.history_["count_split_prot_validation"].to_numpy(float)
    assert np.isfinite(score).all()


def test_saved_models_keep_their_panels(model, tmp_path):
    model.save(tmp_path / "m")
    query = renamed_mudata(model.adata, "new")[:10].copy()
    expected = model.get_latent_representation(query)
    loaded = MultiDGD.load(tmp_path / "m", adata=renamed_mudata(model.adata, ""))
    np.testing.assert_allclose(
        loaded.get_latent_representation(), model.get_latent_representation(), rtol=1e-6
    )
    observed, codes = loaded.adata_manager.panels
    assert [len(o["prot"]) for o in observed] == [
        len(o["prot"]) for o in model.adata_manager.panels.observed
    ]
    without_data = MultiDGD.load(tmp_path / "m", adata=False)
    other = renamed_mudata(query, "")
    np.testing.assert_allclose(
        without_data.get_latent_representation(other), expected, rtol=1e-4, atol=1e-4
    )


def test_queries_with_known_and_new_panels(model):
    query = renamed_mudata(model.adata, "q")
    x = query["prot"].X.toarray()
    x[1::2, 8] = 0
    query["prot"].X = sparse.csr_matrix(x)
    query.obs["batch"] = np.where(lacking_cells(query), "b0", "b2")
    mapped = load(query, model)
    observed, codes = mapped.adata_manager.panels
    lacking = [set(range(10)) - set(observed[codes[i]]["prot"]) for i in range(2)]
    assert lacking == [set(LACKING), {8}]
    found = mapped.get_normalized_expression(modality="prot", library_size="latent")
    truth = model.adata["prot"].X.toarray()[1::2, 8]
    assert 0.5 < found["p8"].to_numpy()[1::2].mean() / truth.mean() < 2


def test_anndata_with_panels():
    mdata, _ = two_panels()
    adata = as_anndata(mdata)
    scvi.settings.seed = 0
    found = fitted(adata, modality_key="kind", **KEYS)
    scvi.settings.seed = 0
    MultiDGD.setup_mudata(mdata, modalities=["prot", "rna"], **KEYS)
    expected = fitted(mdata, modalities=["prot", "rna"], **KEYS)
    np.testing.assert_allclose(
        found.get_latent_representation(),
        expected.get_latent_representation(),
        rtol=1e-3,
        atol=1e-3,
    )
