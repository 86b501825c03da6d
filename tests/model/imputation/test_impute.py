"""Imputation of missing modalities."""

import mudata as md
import numpy as np
import pandas as pd
import pytest
import scvi
import torch
from sklearn.metrics import average_precision_score
from tests.seeds import SEEDS
from tests.toy import toy_adata, toy_mudata

from multiDGD import MultiDGD
from multiDGD.model.imputation._learning import log_normal
from multiDGD.stats import LibraryRegression

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}


@pytest.fixture(scope="module")
def model():
    scvi.settings.seed = 0
    mdata = toy_mudata(60)
    MultiDGD.setup_mudata(mdata, batch_key="batch")
    found = MultiDGD(mdata, n_latent=3)
    found.train(max_epochs=5, batch_size=16, **QUIET)
    return found


def test_log_normal_moments():
    mean = torch.full((20_000, 3), 5.0)
    for shape in ((20_000, 1), (20_000, 3)):
        generator = torch.Generator().manual_seed(0)
        drawn = log_normal(mean, torch.full(shape, 0.25), generator)
        torch.testing.assert_close(drawn.mean(0), mean[0], rtol=0.02, atol=0)
        assert drawn.log().var(0).tolist() == pytest.approx([0.25] * 3, rel=0.05)
        correlation = float(torch.corrcoef(drawn.T)[0, 1])
        assert correlation == pytest.approx(1.0 if shape[1] == 1 else 0.0, abs=0.03)


def only(mdata, modality, batch_key="batch"):
    """The same cells with one modality only and without the columns of a setup."""
    found = md.MuData({modality: mdata[modality].copy()})
    if batch_key in mdata.obs:
        found.obs[batch_key] = mdata.obs.loc[found.obs_names, batch_key].to_numpy()
    return found


class TestLibraryRegression:
    def test_regression_on_measured_libraries(self):
        rng = np.random.default_rng(0)
        z = rng.normal(size=(4000, 2))
        log_a = 7 + z[:, 0] + 0.1 * rng.normal(size=4000)
        log_b = 5 + 0.5 * log_a + 0.3 * z[:, 1] ** 2
        library = np.exp(np.stack([log_a, log_b], axis=1))
        regression = LibraryRegression.fit(z, library, ["a", "b"])
        without_b = library * [1, 0]
        np.testing.assert_allclose(
            np.log(regression.predict(z, without_b, "b")[0]), log_b, atol=0.1
        )
        missing = np.zeros_like(library)
        truth = 5 + 0.5 * (7 + z[:, 0]) + 0.3 * z[:, 1] ** 2
        found, spread = regression.predict(z, missing, "b")
        assert np.sqrt(np.mean((np.log(found) - truth) ** 2)) < 0.05
        # Without a, this is half of the standard deviation of a, 0.1.
        np.testing.assert_allclose(spread, 0.05, atol=0.02)
        assert regression.predict(z, missing, "a")[1] == pytest.approx(0.1, rel=0.15)
        found, spread = regression.predict(z, library, "b")
        np.testing.assert_array_equal(found, library[:, 1])
        np.testing.assert_array_equal(spread, 0)

    def test_spread_equals_the_error_for_new_cells(self):
        rng = np.random.default_rng(0)
        z = rng.normal(size=(300, 8))
        log_library = np.stack([6 + z[:, 0], 5 + z[:, 1]]) + 0.7 * rng.normal(size=(2, 300))
        library = np.exp(log_library).T
        regression = LibraryRegression.fit(z[:150], library[:150], ["a", "b"])
        query = z[150:], library[150:] * [0, 1], "a"
        found, spread = regression.predict(*query)
        error = log_library[0, 150:] - np.log(found)
        assert spread == pytest.approx(error.std(), rel=0.2)

    def test_mosaic(self):
        rng = np.random.default_rng(0)
        z = rng.normal(size=(1000, 2))
        library = np.exp(7 + z)
        library[:400, 0] = 0
        library[600:, 1] = 0
        regression = LibraryRegression.fit(z, library, ["a", "b"])
        found = np.log(regression.predict(z, library, "a")[0])
        error = (found - (7 + z[:, 0]))[:400]
        assert np.sqrt(np.mean(error**2)) < 0.15

    def test_equal_libraries(self):
        regression = LibraryRegression.fit(np.zeros((5, 2)), np.full((5, 1), 10.0), ["a"])
        found, _ = regression.predict(np.ones((3, 2)), np.zeros((3, 1)), "a")
        np.testing.assert_allclose(found, 10)


class TestImpute:
    def test_mean_is_the_decoded_share_of_the_predicted_library(self, model):
        query = only(model.adata, "atac")
        table = model.impute(query)
        assert list(table.columns) == list(model.adata["rna"].var_names)
        assert list(table.index) == list(query.obs_names)
        share = model.get_normalized_expression(query, modality="rna")
        total = table.sum(axis=1)
        np.testing.assert_allclose(table.div(total, axis=0), share, rtol=1e-4)
        measured = np.asarray(model.adata["rna"].X.sum(1)).ravel()
        assert measured.min() < total.min() and total.max() < measured.max()

    def test_fixed_and_measured_libraries(self, model):
        query = only(model.adata, "atac")
        np.testing.assert_allclose(model.impute(query, library_size=50).sum(axis=1), 50, rtol=1e-4)
        own = np.asarray(query["atac"].X.sum(1)).ravel()
        np.testing.assert_allclose(model.impute(query, "atac").sum(axis=1), own, rtol=1e-4)

    def test_missing_features_do_not_reduce_libraries(self):
        rng = np.random.default_rng(0)
        mdata = toy_mudata(80)
        depth = rng.lognormal(3, 0.8, 80)[:, None]
        for part in mdata.mod.values():
            part.X = rng.poisson(depth * rng.uniform(0.5, 2, part.n_vars)).astype(np.float32) + 1
        MultiDGD.setup_mudata(mdata)
        model = MultiDGD(mdata, n_latent=3)
        model.train(max_epochs=5, batch_size=16, **QUIET)
        whole = only(mdata, "rna")
        few = md.MuData({"rna": mdata["rna"][:, :4].copy()})
        libraries = [model.impute(query, "atac").sum(axis=1) for query in (whole, few)]
        assert abs(np.log(libraries[1] / libraries[0]).median()) < 0.15
        # All features of a partly measured modality are imputed.
        own = np.asarray(mdata["rna"].X.sum(1)).ravel()
        assert abs(np.log(model.impute(few, "rna").sum(axis=1) / own).median()) < 0.15

    def test_draws_are_counts_around_draws_of_the_mean(self, model):
        query = only(model.adata, "atac")
        # Means of fewer overdispersed counts would have longer tails than normal variables.
        draws = model.impute(query, "rna", library_size=300, n_samples=1000)
        assert draws.shape == (1000, 60, 12)
        assert (draws % 1 == 0).all() and draws.min() >= 0
        means = 300 * model.get_normalized_expression(
            query, modality="rna", n_samples=1000, return_mean=False, return_numpy=True
        )
        r = model.module.likelihood("rna").dispersion.detach().numpy()
        scatter = (means + means**2 / r).mean(0)
        error = (draws.mean(0) - means.mean(0)) / np.sqrt(scatter / 1000)
        assert np.abs(error).max() < 5 and 0.8 < error.std() < 1.2
        # The variance is that of counts around each mean plus that of the means.
        assert draws.var(0).mean() == pytest.approx((scatter + means.var(0)).mean(), rel=0.03)
        assert means.var(0).mean() > 0.06 * scatter.mean()
        one = model.impute(query, "rna", n_samples=1)
        assert isinstance(one, pd.DataFrame)
        pd.testing.assert_frame_equal(model.impute(query, "rna", n_samples=1), one)

    def test_subsets_and_outputs(self, model):
        query = only(model.adata, "rna")
        whole = model.impute(query)
        part = model.impute(query, indices=[5, 2], gene_list=["atac3", "atac1"])
        pd.testing.assert_frame_equal(part, whole.iloc[[5, 2]][["atac3", "atac1"]], rtol=1e-4)
        assert model.impute(query, key_added="atac_imputed", return_numpy=True) is None
        pd.testing.assert_frame_equal(query.obsm["atac_imputed"], whole)
        np.testing.assert_array_equal(model.impute(query, return_numpy=True), whole)

    def test_in_another_batch(self, model):
        query = only(model.adata, "rna")
        tables = [model.impute(query, transform_batch=b, return_numpy=True) for b in ("b0", "b1")]
        assert np.abs(tables[0] - tables[1]).max() > 1e-4

    def test_saved_model_and_query_model_predict_libraries(self, model, tmp_path):
        query = only(model.adata, "rna")
        truth = model.impute(query)
        model.save(tmp_path / "model")
        loaded = MultiDGD.load(tmp_path / "model", adata=False)
        pd.testing.assert_frame_equal(loaded.impute(query.copy()), truth, rtol=1e-3)
        query_model = MultiDGD.load_query_data(query.copy(), tmp_path / "model")
        query_model.train()
        pd.testing.assert_frame_equal(query_model.impute(), truth, rtol=1e-3)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({}, "`modality` is required .* 60 cells: 'rna' in 0, 'atac' in 0"),
            ({"modality": "prot"}, "`modality`.*'prot'"),
            ({"modality": "rna", "n_samples": 0}, "`n_samples`"),
            ({"modality": "rna", "library_size": 0}, "`library_size`"),
            ({"modality": "rna", "key_added": "x", "indices": [1]}, "`key_added`"),
            ({"modality": "rna", "gene_list": ["rna99"]}, "`gene_list`.*'rna99'"),
            ({"modality": "rna", "gene_list": ["rna1"], "feature_list": ["rna1"]}, "former name"),
            (
                {"modality": "rna", "gene_list": ["atac3"]},
                "'atac3'.*Nearest names: .'rna.*'atac3' exists in modality 'atac'",
            ),
        ],
    )
    def test_invalid_arguments(self, model, arguments, message):
        with pytest.raises(ValueError, match=message):
            model.impute(**arguments)

    def test_a_modality_in_place_of_cells_raises(self, model):
        with pytest.raises(ValueError, match="`adata` must.*found 'atac'.*`modality='atac'`"):
            model.impute("atac")
        with pytest.raises(ValueError, match="`adata` must.*found ndarray"):
            model.get_latent_representation(np.arange(3))

    def test_the_former_name_of_gene_list(self, model):
        found = [
            model.impute(modality="atac", indices=range(3), **{name: ["atac1"]})
            for name in ("gene_list", "feature_list")
        ]
        pd.testing.assert_frame_equal(*found)

    def test_single_modality(self):
        adata = toy_adata()
        MultiDGD.setup_anndata(adata)
        model = MultiDGD(adata, n_latent=3)
        model.train(max_epochs=1, batch_size=16, **QUIET)
        assert model.impute(modality="counts").shape == (40, 12)


def held_out(mdata, seed, **train):
    """Model of 90 % of the cells, the held-out cells and the training cells."""
    scvi.settings.seed = seed
    order = np.random.default_rng(seed).permutation(mdata.n_obs)
    n_test = mdata.n_obs // 10
    train_data, test = mdata[order[n_test:]].copy(), mdata[order[:n_test]].copy()
    MultiDGD.setup_mudata(train_data, batch_key="batch" if "batch" in mdata.obs else None)
    model = MultiDGD(train_data)
    model.train(**QUIET, **train)
    return model, test, train_data


def dense(x):
    return x.toarray() if hasattr(x, "toarray") else np.asarray(x)


def feature_r(found, truth):
    """Pearson correlation of log1p over cells, mean over features that vary."""
    found, truth = np.log1p(found), np.log1p(truth)
    varies = (found.std(0) > 0) & (truth.std(0) > 0)
    pairs = zip(found.T[varies], truth.T[varies], strict=True)
    return np.mean([np.corrcoef(a, b)[0, 1] for a, b in pairs])


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_proteins_from_rna(pbmc10k_cite, seed):
    model, test, _ = held_out(pbmc10k_cite, seed, max_epochs=5)
    found, truth = (
        model.impute(only(test, "rna"), "prot", return_numpy=True),
        dense(test["prot"].X),
    )
    shuffled = np.random.default_rng(seed).permutation(found)
    assert feature_r(found, truth) > 0.68
    assert abs(feature_r(shuffled, truth)) < 0.05


@pytest.mark.parametrize("seed", SEEDS)
def test_multiome_in_both_directions(bmmc_multiome, seed):
    model, test, train = held_out(bmmc_multiome, seed)
    for given, wanted in (("rna", "atac"), ("atac", "rna")):
        found = model.impute(only(test, given), wanted, return_numpy=True)
        truth, others = dense(test[wanted].X), dense(train[wanted].X)
        # The correlation with measured counts is not caused by batches alone.
        shuffled = np.random.default_rng(seed).permutation(found)
        assert feature_r(found, truth) > feature_r(shuffled, truth) + 0.05
        average = np.broadcast_to(others.mean(0), truth.shape)
        found_ap, average_ap = (
            average_precision_score(truth.ravel() > 0, x.ravel()) for x in (found, average)
        )
        assert found_ap > average_ap - 0.01
