"""Residual regression for cells with a missing modality."""

from dataclasses import replace

import mudata as md
import numpy as np
import pytest
import scvi
import torch
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.preprocessing import KernelCenterer
from tests.model.imputation.test_impute import QUIET, dense, feature_r, only
from tests.seeds import SEEDS
from tests.toy import toy_adata, toy_mudata

from multiDGD import MultiDGD
from multiDGD.stats import (
    RegressionCells,
    ResidualRegression,
    _residual_regression,
    fit_residual_regression,
)


def toy_cells(n, seed, decoded="wrong", average=None):
    """Log counts of two dimensions; the decoder uses both if right, and the first if wrong."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2))
    truth = 3 + np.stack([x[:, 0], x[:, 0] + np.sin(2 * x[:, 1])], axis=1)
    guess = truth if decoded == "right" else np.stack([truth[:, 0], 3 + x[:, 0]], axis=1)
    seen = truth + 0.1 * rng.normal(size=truth.shape)
    if average is None:
        average = guess
    return RegressionCells(
        *(torch.tensor(a, dtype=torch.float32) for a in (x, seen, guess, average))
    )


def fitted(training, held_out, n_anchors=None):
    n = len(training.x)
    return fit_residual_regression(
        torch.arange(2),
        training.x,
        torch.ones(2),
        np.arange(n)[:n_anchors],
        lambda: iter(
            [
                RegressionCells(*(a[:7] for a in training)),
                RegressionCells(*(a[7:] for a in training)),
            ]
        ),
        lambda: iter([held_out]),
    )


class TestFit:
    def test_kernel_ridge_regression_with_all_cells_as_anchors(self, monkeypatch):
        monkeypatch.setattr(_residual_regression, "_PENALTIES", np.array([0.5]))
        training, new = toy_cells(60, 0), toy_cells(200, 1)
        found = replace(fitted(training, new), share=1.0, factor=torch.ones(2))
        gamma = 1 / (2 * 2)
        kernel = rbf_kernel(training.x, gamma=gamma)
        centerer = KernelCenterer().fit(kernel)
        inner = centerer.transform(kernel)
        outer = centerer.transform(rbf_kernel(new.x, training.x, gamma=gamma))
        target = training.seen.numpy()
        slope = np.linalg.solve(inner + 0.5 * np.eye(60), target - target.mean(0))
        # The regression keeps the level of the decoder; the factor corrects the totals.
        expected = outer @ slope + training.average.numpy().mean(0)
        corrected = found.log1p_mean(new.x, new.decoded, new.average)
        np.testing.assert_allclose(corrected, np.maximum(expected, 0), atol=2e-3)

    def test_errors_of_the_decoder_are_corrected(self):
        training, held_out, new = (toy_cells(n, s) for n, s in ((800, 0), (200, 1), (500, 2)))
        found = fitted(training, held_out, 100)
        corrected = found.log1p_mean(new.x, new.decoded, new.average)
        before = (new.decoded - new.seen).square().mean(0)
        after = (corrected - new.seen).square().mean(0)
        assert before[1] > 0.4 and after[1] < 0.05
        assert after[0] < 0.03

    def test_correct_decoder_is_not_changed(self):
        training, held_out, new = (
            toy_cells(n, s, "right") for n, s in ((800, 0), (200, 1), (500, 2))
        )
        found = fitted(training, held_out, 100)
        if found is not None:
            corrected = found.log1p_mean(new.x, new.decoded, new.average)
            assert (corrected - new.decoded).abs().max() < 0.1

    def test_totals_equal_those_of_training_cells(self):
        training, held_out = toy_cells(800, 0), toy_cells(200, 1)
        found = fitted(training, held_out, 100)
        corrected = found.log1p_mean(training.x, training.decoded, training.average)
        np.testing.assert_allclose(
            corrected.expm1().sum(0), training.seen.expm1().sum(0), rtol=1e-2
        )

    def test_covariate_effects_come_from_the_decoder(self):
        """A covariate doubles all counts of half of the cells."""

        def cells(n, seed):
            plain = toy_cells(n, seed)
            shift = torch.tensor(np.random.default_rng(seed + 9).choice([0, 0.7], (n, 1))).float()
            return plain._replace(
                seen=plain.seen + shift, decoded=plain.decoded + shift, average=plain.decoded
            ), shift

        (training, _), (held_out, _), (new, shift) = cells(800, 0), cells(200, 1), cells(500, 2)
        found = fitted(training, held_out, 100)
        corrected = found.log1p_mean(new.x, new.decoded, new.average)
        other = found.log1p_mean(new.x, new.average, new.average)
        assert (corrected - new.seen).square().mean() < 0.05
        in_counts = (corrected.expm1() / found.factor).log1p() - (
            other.expm1() / found.factor
        ).log1p()
        np.testing.assert_allclose(in_counts, shift.expand_as(in_counts), atol=1e-3)

    def test_unknown_library_is_replaced_by_the_average(self):
        training, held_out = toy_cells(100, 0), toy_cells(100, 1)
        found = fitted(training, held_out)
        x = torch.tensor([[0.3, torch.nan]])
        known = torch.tensor([[0.3, float(training.x[:, 1].mean())]])
        decoded = torch.ones(1, 2)
        torch.testing.assert_close(
            found.log1p_mean(x, decoded, decoded), found.log1p_mean(known, decoded, decoded)
        )


@pytest.fixture(scope="module")
def model():
    """Model with held-out cells; the other modality is uninformative."""
    scvi.settings.seed = 0
    mdata = toy_mudata(300, rate=4)
    MultiDGD.setup_mudata(mdata, batch_key="batch")
    found = MultiDGD(mdata, n_latent=3)
    found.train(max_epochs=3, **QUIET)
    # If no regression was selected, because there is no residual, a random one is tested.
    if found._learned.imputers["rna"].regression is None:
        set_regression(found, "rna", random_regression(found))
    return found


def random_regression(model):
    """Random regression of all features."""
    n, q, f = 5, 2, len(model.summary.features["rna"])
    rng = np.random.default_rng(0)
    shapes = {
        "anchors": (n, 4),
        "root": (n, q),
        "centre": (q,),
        "weight": (q, f),
    }
    arrays = {k: rng.normal(size=s).astype(np.float32) for k, s in shapes.items()}
    ones = np.ones(f, np.float32)
    return ResidualRegression.from_state(
        {
            **arrays,
            "features": np.arange(f),
            "scale": np.ones(4, np.float32),
            "offset": ones,
            "factor": ones,
            "scatter": 0 * ones,
            "share": 0.5,
        }
    )


def set_regression(model, modality, regression):
    imputers = dict(model._learned.imputers)
    imputers[modality] = replace(imputers[modality], regression=regression)
    model._update_learned(imputers=imputers)


def set_scatter(model, modality, scatter):
    regression = model._learned.imputers[modality].regression
    set_regression(model, modality, replace(regression, scatter=torch.as_tensor(scatter)))


class TestImpute:
    def test_fitted_for_each_modality_with_paired_cells(self, model):
        assert set(model.imputers_) == {"rna", "atac"}
        assert model.imputers_["atac"]["depth"]["modalities"] == ["rna", "atac"]

    def test_measured_cells_keep_decoded_values(self, model):
        share = model.get_normalized_expression(modality="rna", return_numpy=True)
        own = dense(model.adata["rna"].X).sum(1, keepdims=True)
        np.testing.assert_allclose(
            model.impute(modality="rna", return_numpy=True), share * own, rtol=1e-4
        )

    def test_subsets_minibatches_and_libraries(self, model):
        query = only(model.adata, "atac")
        whole = model.impute(query, "rna")
        share = model.get_normalized_expression(query, modality="rna", return_numpy=True)
        assert np.abs(whole / whole.to_numpy().sum(1, keepdims=True) - share).max().max() > 1e-3
        part = model.impute(query, "rna", indices=[7, 3], feature_list=["rna2"], batch_size=1)
        np.testing.assert_allclose(part, whole.iloc[[7, 3]][["rna2"]], rtol=1e-4)
        fixed = model.impute(query, "rna", library_size=50)
        np.testing.assert_allclose(fixed.sum(axis=1), 50, rtol=1e-4)
        np.testing.assert_allclose(fixed, 50 * whole.div(whole.sum(axis=1), axis=0), rtol=1e-4)

    def test_draws_are_around_the_mean(self, model):
        query = only(model.adata[:20].copy(), "atac")
        mean = model.impute(query, "rna", return_numpy=True)
        drawn = model.impute(query, "rna", n_samples=500)
        assert np.corrcoef(mean.ravel(), drawn.mean(0).ravel())[0, 1] > 0.8
        regression = model._learned.imputers["rna"].regression
        # Excess variance of a single feature.
        one = np.where(np.arange(len(regression.scatter)) == 5, 2, 0).astype(np.float32)
        set_scatter(model, "rna", one)
        wider = model.impute(query, "rna", n_samples=500).var(0) / drawn.var(0)
        set_regression(model, "rna", regression)
        assert np.median(wider[:, 5]) > 2
        assert 0.75 < np.median(np.delete(wider, 5, axis=1)) < 1.25

    def test_draws_include_variance_not_explained_by_other_modalities(self):
        rng = np.random.default_rng(0)
        hidden = 0.8 * rng.normal(size=(500, 1)) * np.where(np.arange(20) % 2, 1, -1)
        prot = toy_adata(500, 20, prefix="prot")
        prot.X = rng.poisson(20 * np.exp(hidden)).astype(np.float32)
        cells = md.MuData({"rna": toy_adata(500, 40, rate=4), "prot": prot})
        train, new = cells[:400].copy(), cells[400:].copy()
        MultiDGD.setup_mudata(train)
        model = MultiDGD(train, n_latent=3)
        model.train(**QUIET)
        query, truth = only(new, "rna"), dense(new["prot"].X)
        assert 0.85 < coverage(model, query, truth) < 0.97
        regression = model._learned.imputers["prot"].regression
        set_scatter(model, "prot", torch.zeros_like(regression.scatter))
        assert coverage(model, query, truth) < 0.75

    def test_saved_model_and_query_model(self, model, tmp_path):
        query = only(model.adata, "atac")
        truth = model.impute(query, "rna")
        model.save(tmp_path / "model")
        loaded = MultiDGD.load(tmp_path / "model", adata=False)
        np.testing.assert_allclose(loaded.impute(query.copy(), "rna"), truth, rtol=1e-3)
        mapped = MultiDGD.load_query_data(query.copy(), tmp_path / "model")
        mapped.train()
        np.testing.assert_allclose(mapped.impute(modality="rna"), truth, rtol=1e-3)

    def test_mosaic_without_paired_cells(self):
        mdata = toy_mudata(120, rate=4)
        mosaic = md.MuData({"rna": mdata["rna"][:60].copy(), "atac": mdata["atac"][60:].copy()})
        MultiDGD.setup_mudata(mosaic)
        found = MultiDGD(mosaic, n_latent=3)
        found.train(max_epochs=2, **QUIET)
        assert found.imputers_ == {}
        assert found.impute(modality="rna").shape == (120, 12)


def coverage(model, query, truth):
    """Share of counts within the middle 90 % of their draws."""
    draws = model.impute(query, "prot", n_samples=60)
    low, high = np.quantile(draws, [0.05, 0.95], axis=0)
    return ((low <= truth) & (truth <= high)).mean()


@pytest.mark.parametrize("seed", SEEDS)
def test_correction_improves_proteins_of_real_cells(bmmc_cite, seed):
    scvi.settings.seed = seed
    order = np.random.default_rng(seed).permutation(bmmc_cite.n_obs)
    train, new = bmmc_cite[order[60:]].copy(), bmmc_cite[order[:60]].copy()
    MultiDGD.setup_mudata(train, batch_key="batch")
    model = MultiDGD(train)
    model.train(**QUIET)
    query, truth = only(new, "rna"), dense(new["prot"].X)
    assert 0.85 < coverage(model, query, truth) < 0.97
    corrected = feature_r(model.impute(query, "prot", return_numpy=True), truth)
    set_regression(model, "prot", None)
    decoded = feature_r(model.impute(query, "prot", return_numpy=True), truth)
    assert corrected > decoded + 0.002
