"""Simulated cells and posterior predictive samples."""

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
import scvi
import torch
from scvi.criticism import PosteriorPredictiveCheck
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from tests.toy import toy_adata, toy_mudata

from multiDGD import MultiDGD
from multiDGD.datasets import simulate_multiome
from multiDGD.latent import GaussianMixture
from multiDGD.model.core._cell_subset import CellSubset

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}


def simulated():
    mdata = simulate_multiome(300, n_genes=80, n_peaks=100, n_types=3, library_sd=0.5, seed=1)
    # Library sizes correlate between modalities and differ between cell types.
    rng = np.random.default_rng(0)
    depth = rng.lognormal(0, 0.4, 300) * np.array([0.4, 1, 2])[mdata.obs["cell_type"].cat.codes]
    keep = np.clip(depth / 3, 0.05, 1)[:, None]
    for part in mdata.mod.values():
        x = part.X.toarray().astype(int)
        part.X = type(part.X)(rng.binomial(x, keep).astype(np.float32))
    return mdata


@pytest.fixture(scope="module")
def model():
    scvi.settings.seed = 0
    mdata = simulated()
    MultiDGD.setup_mudata(mdata, batch_key="batch", labels_key="cell_type")
    found = MultiDGD(mdata, n_latent=4)
    found.train(max_epochs=30, batch_size=32, **QUIET)
    return found


def totals(data):
    return np.stack([np.asarray(p.X.sum(1)).ravel() for p in data.mod.values()], axis=1)


class TestSample:
    @pytest.mark.parametrize("from_", ["mixture", "cells"])
    def test_library_sizes_and_their_correlation(self, model, from_):
        found = totals(model.sample(2000, from_=from_))
        real = totals(model.adata)
        np.testing.assert_allclose(np.median(found, 0), np.median(real, 0), rtol=0.15)
        expected = np.corrcoef(np.log(real.T))[0, 1]
        assert expected > 0.6
        assert np.corrcoef(np.log1p(found.T))[0, 1] == pytest.approx(expected, abs=0.1)

    def test_means_of_features(self, model):
        found = model.sample(2000)
        for m, part in found.mod.items():
            assert (part.X.data == part.X.data.astype(int)).all()
            assert part.X.data.min() > 0
            real = model.adata[m].X
            a, b = (np.log(np.asarray(x.mean(0)).ravel() + 0.01) for x in (real, part.X))
            assert np.corrcoef(a, b)[0, 1] > 0.97
            assert list(part.var_names) == list(model.adata[m].var_names)

    @pytest.mark.parametrize("from_", ["mixture", "cells"])
    def test_label_and_batch(self, model, from_):
        found = model.sample(300, label="type_1", batch="batch_1", from_=from_)
        assert set(found.obs["cell_type"]) == {"type_1"}
        assert set(found.obs["batch"]) == {"batch_1"}
        assert (model.predict(found) == "type_1").mean() > 0.95
        obs = model.adata.obs
        of_label = ((obs["cell_type"] == "type_1") & (obs["batch"] == "batch_1")).to_numpy()
        expected = np.median(totals(model.adata)[of_label], 0)
        np.testing.assert_allclose(np.median(totals(found), 0), expected, rtol=0.25)

    def test_component(self, model):
        found = model.sample(40, component=2)
        assert set(found.obs["component"]) == {2}
        assert (model.get_cluster_assignments(found) == 2).mean() > 0.95
        assert set(model.sample(40, component=[0, 1]).obs["component"]) == {0, 1}

    def test_frequencies_of_components_and_batches(self, model):
        found = model.sample(3000)
        weight = model.module.mixture.mixture_probs().detach().numpy()
        share = found.obs["component"].value_counts(normalize=True).sort_index()
        np.testing.assert_allclose(share, weight, atol=0.04)
        real = model.adata.obs["batch"].value_counts(normalize=True)
        drawn = found.obs["batch"].value_counts(normalize=True)
        np.testing.assert_allclose(drawn[real.index], real, atol=0.06)

    def test_library_size(self, model):
        found = totals(model.sample(400, library_size={"rna": 1000}))
        assert found[:, 0].mean() == pytest.approx(1000, rel=0.05)
        assert found[:, 1].mean() != pytest.approx(1000, rel=0.05)

    def test_seed(self, model):
        state = torch.get_rng_state()
        one, other = (model.sample(20, seed=s) for s in (1, 2))
        again = model.sample(20, seed=1)
        assert (one["rna"].X != again["rna"].X).nnz == 0
        assert (one["rna"].X != other["rna"].X).nnz > 0
        assert torch.equal(state, torch.get_rng_state())

    def test_model_loaded_without_data(self, model, tmp_path):
        model.save(str(tmp_path / "model"))
        loaded = MultiDGD.load(str(tmp_path / "model"), adata=False, accelerator="cpu")
        one, other = (m.sample(20, seed=1) for m in (model, loaded))
        pd.testing.assert_frame_equal(one.obs, other.obs)
        assert (one["atac"].X != other["atac"].X).nnz == 0

    def test_query_model(self, model):
        query = simulated()[:50].copy()
        query.obs["batch"] = "new"
        found = MultiDGD.load_query_data(query, model)
        found.train(max_epochs=2)
        drawn = found.sample(10, batch="new")
        assert set(drawn.obs["batch"]) == {"new"}

    def test_anndata_keeps_its_order_of_features(self):
        adata = toy_adata(60)
        adata.var["kind"] = np.where(np.arange(12) % 3, "rna", "atac")
        adata.layers["raw"] = adata.X.copy()
        MultiDGD.setup_anndata(
            adata,
            layer="raw",
            modality_key="kind",
            categorical_covariate_keys=["site"],
            continuous_covariate_keys=["age"],
        )
        model = MultiDGD(adata, n_latent=2)
        model.train(max_epochs=3, **QUIET)
        found = model.sample(300, covariates={"site": "y"})
        assert isinstance(found, ad.AnnData)
        assert list(found.var_names) == list(adata.var_names)
        assert list(found.var["kind"]) == list(adata.var["kind"])
        assert set(found.obs["site"]) == {"y"}
        ages = adata.obs["age"][adata.obs["site"] == "y"].astype(np.float32)
        assert found.obs["age"].isin(ages).all()
        means = [np.asarray(a.layers["raw"].mean(0)).ravel() for a in (adata, found)]
        np.testing.assert_allclose(*means, rtol=0.5)
        assert model.get_latent_representation(found).shape == (300, 2)

    def test_mosaic(self):
        mdata = toy_mudata(80)
        parts = {"rna": mdata["rna"][:50].copy(), "atac": mdata["atac"][30:].copy()}
        mosaic = md.MuData(parts)
        MultiDGD.setup_mudata(mosaic)
        model = MultiDGD(mosaic, n_latent=2)
        model.train(max_epochs=2, batch_size=16, **QUIET)
        for from_ in ("mixture", "cells"):
            found = totals(model.sample(50, from_=from_))
            assert found.min() > 0
            np.testing.assert_allclose(found.mean(0), totals(mdata).mean(0), rtol=0.2)

    def test_errors(self, model):
        for arguments, message in (
            ({"n": 0}, "`n` must be"),
            ({"label": "typ_1"}, "`label`: 'typ_1' .*Nearest names: .'type_1'"),
            ({"component": 3}, "`component` must lie between 0 and 2, found 3"),
            ({"component": 0, "label": "type_1"}, "does not belong to label 'type_1'"),
            ({"batch": "x"}, "`batch`: 'x' does not exist"),
            ({"covariates": {"site": "x"}}, "'site' is not one of"),
            ({"library_size": 0}, "library_size"),
            ({"library_size": {"prot": 5}}, "'prot'"),
            ({"from_": "prior"}, "`from_` must be"),
        ):
            with pytest.raises(ValueError, match=message):
                model.sample(**{"n": 5, **arguments})
        mdata = toy_mudata(30)
        MultiDGD.setup_mudata(mdata, labels_key="label")
        fresh = MultiDGD(mdata, n_latent=2, supervised=False, n_components=3)
        with pytest.raises(RuntimeError, match="not trained"):
            fresh.sample(3)
        fresh.train(max_epochs=1, **QUIET)
        with pytest.raises(ValueError, match="supervised mixture"):
            fresh.sample(3, label="A")
        assert set(fresh.sample(3, label="A", from_="cells").obs["label"]) == {"A"}
        fresh.known_cells_ = None
        with pytest.raises(ValueError, match="train it again"):
            fresh.sample(3)


@pytest.fixture(scope="module")
def rna_model():
    adata = simulated()["rna"].copy()
    adata.X = adata.X.astype(int)  # scvi-tools 1.4 fails with sparse counts of type float
    MultiDGD.setup_anndata(adata)
    model = MultiDGD(adata, n_latent=3)
    model.train(max_epochs=15, batch_size=32, **QUIET)
    return adata, model


class TestPosteriorPredictive:
    def test_draws_scatter_around_the_decoded_mean(self, model):
        found = model.posterior_predictive_sample(indices=[3, 0], n_samples=400)
        for m, x in found.items():
            x = x.todense()
            assert x.shape == (2, model.adata[m].n_vars, 400)
            mean = model.get_normalized_expression(
                indices=[3, 0], modality=m, library_size="latent", return_numpy=True
            )
            error = (x.mean(2) - mean) / np.sqrt((mean + mean**2) / 400 + 1e-6)
            assert np.abs(error).mean() < 2
            assert (x.std(2) ** 2 > 0.5 * mean)[mean > 1].all()

    def test_features_and_one_draw(self, model):
        names = list(model.adata["rna"].var_names[[5, 2]])
        found = model.posterior_predictive_sample(gene_list=names)
        assert found["rna"].shape == (300, 2)
        assert found["atac"].shape == (300, 0)
        with pytest.raises(ValueError, match="gene_list.*Nearest"):
            model.posterior_predictive_sample(gene_list=["nothing"])
        with pytest.raises(ValueError, match="n_samples"):
            model.posterior_predictive_sample(n_samples=0)

    def test_criticism_accepts_an_anndata(self, rna_model):
        adata, model = rna_model
        part = PosteriorPredictiveCheck(adata, {"model": model}, n_samples=2, indices=[4, 1])
        assert part.samples_dataset["model"].shape == (2, 80, 2)

    @pytest.mark.slow  # compilation of the array library takes half a minute
    def test_criticism(self, rna_model):
        adata, model = rna_model
        check = PosteriorPredictiveCheck(adata, {"model": model}, n_samples=4)
        check.coefficient_of_variation("cells")
        check.zero_fraction()
        for metric, floor in (("cv_gene", 0.8), ("zero_fraction", 0.95)):
            table = check.metrics[metric]
            assert table["model"].corr(table["Raw"]) > floor

    def test_anndata_with_two_modalities_keeps_its_order(self):
        adata = toy_adata(50, rate=4)
        adata.var["kind"] = np.where(np.arange(12) % 3, "rna", "atac")
        MultiDGD.setup_anndata(adata, modality_key="kind")
        model = MultiDGD(adata, n_latent=2)
        model.train(max_epochs=3, batch_size=16, **QUIET)
        x = model.posterior_predictive_sample(n_samples=50).todense()
        means = x.mean((0, 2)), adata.X.toarray().mean(0)
        np.testing.assert_allclose(*means, rtol=0.25)


def statistics(data):
    """Totals, detection rates and shares of the largest counts of each cell."""
    columns = []
    for part in data.mod.values():
        x = part.X.toarray()
        total = np.maximum(x.sum(1), 1)
        top = -np.sort(-x, axis=1)
        columns += [total, (x > 0).mean(1), top[:, 0] / total, top[:, :10].sum(1) / total]
    return np.stack(columns, axis=1)


def auc(real, drawn):
    """AUC of a random forest that distinguishes real from simulated cells."""
    x = np.vstack([statistics(real), statistics(drawn)])
    y = np.repeat([0, 1], [real.n_obs, drawn.n_obs])
    forest = RandomForestClassifier(100, min_samples_leaf=5, random_state=0)
    order = np.random.default_rng(0).permutation(len(y))
    p = cross_val_predict(forest, x[order], y[order], cv=5, method="predict_proba")[:, 1]
    return roc_auc_score(y[order], p)


def test_simulated_cells_are_realistic(model):
    """The data are simulated from the model; cells of equal library size are easily detected."""
    assert auc(model.adata, model.sample(300)) < 0.65
    assert auc(model.adata, model.sample(300, library_size=100)) > 0.9


def share_of_zeros(x, axis):
    return (x == 0).mean(axis)


def test_moments_of_features_equal_those_of_real_cells(bmmc_cite):
    MultiDGD.setup_mudata(bmmc_cite, batch_key="batch")
    model = MultiDGD(bmmc_cite)
    model.train(max_epochs=20, **QUIET)
    drawn = model.sample(bmmc_cite.n_obs)
    for m, part in drawn.mod.items():
        real, found = bmmc_cite[m].X.toarray(), part.X.toarray()
        # Without logarithms, a single protein determines the correlation.
        for moment, least in ((np.mean, 0.97), (np.var, 0.9), (share_of_zeros, 0.95)):
            a, b = (np.log1p(moment(x, axis=0)) for x in (real, found))
            assert np.corrcoef(a, b)[0, 1] > least


def relative_errors(model, mdata):
    """Relative errors of the simulated totals for given library sizes, by modality."""
    given = dict(zip(mdata.mod, np.median(totals(mdata), 0).tolist(), strict=True))
    found = totals(model.sample(200, library_size=given))
    return dict(zip(mdata.mod, np.abs(found / list(given.values()) - 1).T, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_simulated_proteins_are_realistic(bmmc_cite, seed):
    """The AUC is 0.85 if totals scatter and dispersions are equal at all means."""
    scvi.settings.seed = seed
    MultiDGD.setup_mudata(bmmc_cite, batch_key="batch")
    model = MultiDGD(bmmc_cite, likelihoods={"prot": "protein"})
    model.train(**QUIET)
    assert auc(bmmc_cite, model.sample(bmmc_cite.n_obs)) < 0.75
    for error in relative_errors(model, bmmc_cite).values():
        assert (error < 0.021).mean() > 0.9


def test_totals_equal_library_sizes(bmmc_cite):
    """Independent draws of the proteins differ from them by at least 20 %."""
    MultiDGD.setup_mudata(bmmc_cite, batch_key="batch")
    model = MultiDGD(bmmc_cite)
    model.train(max_epochs=20, **QUIET)
    for error in relative_errors(model, bmmc_cite).values():
        assert np.median(error) < 0.02
        assert (error < 0.05).mean() > 0.9
    real = np.log(totals(bmmc_cite))
    for from_ in ("mixture", "cells"):
        found = np.log(totals(model.sample(600, from_=from_)))
        np.testing.assert_allclose(found.std(0), real.std(0), rtol=0.15)


def test_covariate_named_component():
    adata = toy_adata()
    adata.obs["component"] = adata.obs["site"]
    MultiDGD.setup_anndata(adata, categorical_covariate_keys=["component"])
    model = MultiDGD(adata, n_latent=3, n_components=2)
    model.train(max_epochs=1, **QUIET)
    obs = model.sample(20, component=1).obs
    assert (obs["multidgd_component"] == 1).all()
    assert set(obs["component"]) <= {"x", "y", "z"}


@pytest.mark.parametrize("value", [{"rna": None}, "100", 0])
def test_library_sizes_must_be_positive_numbers(model, value):
    with pytest.raises(ValueError, match="`library_size` must be a"):
        model.sample(3, library_size=value)


def test_covariance_of_components_equals_that_of_their_cells():
    rng = np.random.default_rng(0)
    covariance = np.array([[1.0, 0.9], [0.9, 1.0]])
    z_nl = np.zeros((4000, 2), np.float32)
    z_nl[:2000] = rng.multivariate_normal([0, 0], covariance, 2000)
    z_nl[2000:] = rng.multivariate_normal([40, 0], 4 * np.eye(2), 2000)
    empty = np.zeros((4000, 0))
    subset = CellSubset(z_nl, empty, np.full(4000, -1), empty.astype(int), empty)
    mixture = GaussianMixture(3, 2, mean_init=(2.0, 5.0))
    mixture.initialize(
        torch.tensor([[0.0, 0.0], [40.0, 0.0], [-90.0, 0.0]]), torch.full((3, 2), 0.25)
    )
    with torch.no_grad():
        found = subset.covariances(mixture).numpy()
    np.testing.assert_allclose(found[0], covariance, atol=0.1)
    np.testing.assert_allclose(found[1], 4 * np.eye(2), atol=0.3)
    np.testing.assert_allclose(found[2], 0.25 * np.eye(2), atol=1e-3)
