"""Uncertainty of representations and decoded values, for simulated and thinned real cells."""

import mudata as md
import numpy as np
import pandas as pd
import pytest
import scvi
import torch
from tests.toy import toy_mudata

from multiDGD import MultiDGD
from multiDGD.datasets import simulate_multiome
from multiDGD.inference import Laplace

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}


def fitted(mdata, *, model=None, train=None, **setup):
    MultiDGD.setup_mudata(mdata, **setup)
    found = MultiDGD(mdata, **(model or {}))
    found.train(**QUIET, **(train or {}))
    return found


def thinned(mdata, share, seed=0):
    """Data in which every molecule is kept with the probability ``share``."""
    rng = np.random.default_rng(seed)
    found = mdata.copy()
    for part in found.mod.values():
        x = part.X.tocsr(copy=True)
        x.data = rng.binomial(x.data.astype(int), share).astype(np.float32)
        part.X = x
    found.obs_names = [f"{name}-thin" for name in mdata.obs_names]
    for part in found.mod.values():
        part.obs_names = found.obs_names
    found.update()
    return found


def without(mdata, modality):
    found = md.MuData({m: part.copy() for m, part in mdata.mod.items() if m != modality})
    found.obs = mdata.obs.copy()
    return found


def true_share(mdata, modality):
    mean = mdata[modality].layers["true_mean"]
    return mean / mean.sum(1, keepdims=True)


def coverage(bounds, truth):
    return ((bounds[0] < truth) & (truth < bounds[1])).mean()


def share_of_wider(model, cells, few):
    """Share of cells whose posterior variance is larger in the second object."""
    _, before = model.get_latent_representation(cells, return_dist=True)
    _, after = model.get_latent_representation(few, return_dist=True)
    return (after.sum(1) > before.sum(1)).mean()


@pytest.fixture(scope="module")
def simulated():
    """Model of 600 training cells, and 200 held-out cells from the same simulation."""
    scvi.settings.seed = 0
    whole = simulate_multiome(800, 150, 200, true_means=True)
    train, new = whole[:600].copy(), whole[600:].copy()
    return fitted(train, model={"n_latent": 8}, batch_key="batch"), new


@pytest.fixture(scope="module")
def small():
    scvi.settings.seed = 0
    return fitted(
        toy_mudata(60),
        model={"n_latent": 3},
        train={"max_epochs": 5, "batch_size": 16},
        batch_key="batch",
        labels_key="label",
    )


class TestCalibration:
    @pytest.mark.parametrize("modality", ["rna", "atac"])
    def test_intervals_are_calibrated(self, simulated, modality):
        model, new = simulated
        for cells in (model.adata, new):
            truth = true_share(cells, modality)
            for level, low, high in ((0.5, 0.42, 0.62), (0.9, 0.85, 0.96)):
                bounds = model.get_expression_interval(
                    cells, modality=modality, level=level, return_numpy=True
                )
                assert low < coverage(bounds, truth) < high

    def test_rare_features(self, simulated):
        model, new = simulated
        truth = true_share(new, "rna")
        rare = truth.mean(0) < np.quantile(truth.mean(0), 0.25)
        lower, upper = model.get_expression_interval(new, modality="rna", return_numpy=True)
        assert 0.82 < coverage((lower[:, rare], upper[:, rare]), truth[:, rare]) < 0.97
        width = np.log(upper / lower).mean(0)
        assert width[rare].mean() > width[~rare].mean()

    def test_missing_modality(self, simulated, monkeypatch):
        model, new = simulated
        query = without(new, "atac")
        few = model.get_expression_interval(query, modality="atac", return_numpy=True)
        assert 0.83 < coverage(few, true_share(new, "atac")) < 0.97
        # By default, the prior has more weight in cells with missing modalities.
        monkeypatch.setitem(model.module._buffers, "mixture_weight", torch.ones(()))
        lower, upper = model.get_expression_interval(
            new.copy(), modality="atac", return_numpy=True
        )
        few = model.get_expression_interval(query.copy(), modality="atac", return_numpy=True)
        assert (np.log(few[1] / few[0]) > np.log(upper / lower)).mean() > 0.9

    def test_draws_agree_with_intervals(self, simulated):
        model, new = simulated
        bounds = model.get_expression_interval(new, modality="rna", return_numpy=True)
        draws = model.get_normalized_expression(
            new, modality="rna", n_samples=100, return_mean=False
        )
        assert draws.shape == (100, 200, 150)
        np.testing.assert_allclose(draws.sum(2), 1, rtol=1e-4)
        quantiles = np.quantile(draws, [0.05, 0.95], axis=0)
        ratio = np.log(quantiles[1] / quantiles[0]) / np.log(bounds[1] / bounds[0])
        assert 0.95 < np.median(ratio) < 1.1
        assert 0.85 < coverage(quantiles, true_share(new, "rna")) < 0.96

    def test_posterior_contains_representation_from_many_counts(self, simulated):
        model, new = simulated
        deep = new.copy()
        for part in deep.mod.values():
            part.X = np.round(100 * part.layers["true_mean"]).astype(np.float32)
        mean, variance = model.get_latent_representation(new, return_dist=True)
        truth = model.get_latent_representation(deep)
        inside = np.abs(truth - mean) < 1.645 * np.sqrt(variance)
        assert 0.8 < inside.mean() < 0.96


class TestFewCounts:
    def test_thinned_cells_of_a_simulation(self, simulated):
        model, new = simulated
        few = thinned(new, 0.1)
        assert share_of_wider(model, new, few) > 0.95
        width = []
        for query in (new, few):
            bounds = model.get_expression_interval(query, modality="rna", return_numpy=True)
            assert 0.85 < coverage(bounds, true_share(new, "rna")) < 0.96
            width.append(np.log(bounds[1] / bounds[0]).mean(1))
        assert (width[1] > width[0]).mean() > 0.9

    def test_thinned_real_cells(self, bmmc_multiome):
        model = fitted(bmmc_multiome, batch_key="batch")
        cells = bmmc_multiome[:150].copy()
        assert share_of_wider(model, cells, thinned(cells, 0.1)) > 0.95


class TestDistribution:
    def test_mean_is_the_representation(self, small):
        mean, variance = small.get_latent_representation(return_dist=True)
        np.testing.assert_array_equal(mean, small.get_latent_representation())
        assert variance.shape == (60, 3)
        assert (variance > 0).all()

    def test_minibatches_and_order_have_no_effect(self, small):
        _, whole = small.get_latent_representation(return_dist=True)
        _, part = small.get_latent_representation(
            indices=[7, 3, 50], batch_size=2, return_dist=True
        )
        np.testing.assert_allclose(part, whole[[7, 3, 50]], rtol=1e-3)

    def test_labels_of_new_cells_are_not_used(self, small):
        mdata = small.adata
        again = mdata.copy()
        again.obs["label"] = np.roll(mdata.obs["label"].to_numpy(), 1)
        again.obs_names = [f"new-{i}" for i in range(60)]
        for part in again.mod.values():
            part.obs_names = again.obs_names
        again.update()
        blank = again.copy()
        blank.obs["label"] = "unknown"
        found = [small.get_latent_representation(x, return_dist=True)[1] for x in (again, blank)]
        np.testing.assert_array_equal(*found)

    def test_no_cells(self, small):
        mean, variance = small.get_latent_representation(indices=[], return_dist=True)
        assert mean.shape == variance.shape == (0, 3)
        lower, upper = small.get_expression_interval(modality="rna", indices=[])
        assert lower.shape == upper.shape == (0, 12)


class TestDraws:
    def test_seed(self, small):
        def draw(**kwargs):
            return small.get_normalized_expression(
                modality="rna", n_samples=3, return_mean=False, **kwargs
            )

        first = draw()
        np.testing.assert_array_equal(draw(), first)
        np.testing.assert_allclose(draw(batch_size=7), first, rtol=1e-4)
        assert not np.allclose(first[0], first[1])
        state = torch.random.get_rng_state()
        draw()
        assert torch.equal(torch.random.get_rng_state(), state)
        scvi.settings.seed = 1
        assert not np.allclose(draw(), first)

    def test_mean_of_draws(self, small):
        draws = small.get_normalized_expression(n_samples=4, return_mean=False, gene_list=["rna3"])
        mean = small.get_normalized_expression(n_samples=4, gene_list=["rna3"])
        assert draws.shape == (4, 60, 1)
        assert list(mean.columns) == ["rna3"]
        np.testing.assert_allclose(draws.mean(0), mean, rtol=1e-5)
        one = small.get_normalized_expression(modality="rna", n_samples=1, return_mean=False)
        assert one.shape == (1, 60, 12)

    def test_accessibility(self, small):
        draws = small.get_accessibility_estimates(n_samples=5, return_mean=False)
        assert draws.shape == (5, 60, 15)
        assert ((draws > 0) & (draws < 1)).all()

    def test_parameters_are_unchanged(self, small):
        before = {k: v.clone() for k, v in small.module.state_dict().items()}
        small.get_normalized_expression(modality="rna", n_samples=2)
        for key, value in small.module.state_dict().items():
            torch.testing.assert_close(value, before[key], rtol=0, atol=0)


class TestInterval:
    def test_around_the_estimate(self, small):
        for options in (
            {"modality": "rna"},
            {"modality": "rna", "library_size": "latent"},
            {"modality": "rna", "transform_batch": "b1", "library_size": 1e4},
            {"gene_list": ["atac4", "atac2"]},
        ):
            lower, upper = small.get_expression_interval(**options)
            value = small.get_normalized_expression(**options)
            assert (lower < value).to_numpy().all()
            assert (value < upper).to_numpy().all()
            for bound in (lower, upper):
                pd.testing.assert_index_equal(bound.index, value.index)
                pd.testing.assert_index_equal(bound.columns, value.columns)
            wide = small.get_expression_interval(level=0.99, **options)
            assert (wide[0] < lower).to_numpy().all()
            assert (wide[1] > upper).to_numpy().all()

    def test_variance_of_own_batch_has_no_effect_in_another(self, small, monkeypatch):
        bounds = {}
        for precision in (1.0, 10.0):

            def posteriors(manager, *_, precision=precision):
                w = small.module.representations.z.detach()
                factor = torch.diag(torch.tensor([5.0] * 3 + [precision] * 2)).expand(60, 5, 5)
                yield next(iter(manager.batches(np.arange(60), 60))), Laplace(w, factor)

            monkeypatch.setattr(small, "_posteriors", posteriors)
            for batch in (None, "b0"):
                bounds[precision, batch] = small.get_expression_interval(
                    modality="rna", transform_batch=batch, return_numpy=True
                )
        np.testing.assert_array_equal(bounds[1.0, "b0"], bounds[10.0, "b0"])
        width = [np.log(upper / lower) for lower, upper in (bounds[1.0, None], bounds[10.0, None])]
        assert (width[0] > width[1]).mean() > 0.99

    def test_within_inference_mode(self, small):
        expected = small.get_expression_interval(modality="rna", return_numpy=True)
        with torch.inference_mode():
            found = small.get_expression_interval(modality="rna", return_numpy=True)
            small.get_latent_representation(return_dist=True)
            small.get_normalized_expression(modality="rna", n_samples=2)
            small.predict()
        np.testing.assert_array_equal(found, expected)

    def test_saved_model_and_query_model(self, small, tmp_path):
        small.save(tmp_path / "model")
        loaded = MultiDGD.load(tmp_path / "model", adata=small.adata)
        expected = small.get_expression_interval(modality="rna", return_numpy=True)
        np.testing.assert_allclose(
            loaded.get_expression_interval(modality="rna", return_numpy=True), expected, rtol=1e-4
        )
        query = MultiDGD.load_query_data(small.adata[:9].copy(), small)
        query.train(max_epochs=1)
        lower, upper = query.get_expression_interval(modality="rna")
        assert (lower < upper).to_numpy().all()

    def test_all_modalities(self, small):
        found = small.get_expression_interval(level=0.8, return_numpy=True)
        for name in ("rna", "atac"):
            alone = small.get_expression_interval(modality=name, level=0.8, return_numpy=True)
            for bounds, bound in zip(found, alone, strict=True):
                assert list(bounds) == ["rna", "atac"]
                np.testing.assert_array_equal(bounds[name], bound)

    def test_errors(self, small, monkeypatch):
        with pytest.raises(ValueError, match="`level` must lie between 0 and 1, found 90"):
            small.get_expression_interval(modality="rna", level=90)
        with pytest.raises(
            ValueError, match="`n_samples` must be an integer of at least 1, found 0"
        ):
            small.get_normalized_expression(modality="rna", n_samples=0)
        with pytest.raises(ValueError, match="Nearest names"):
            small.get_expression_interval(gene_list=["rna99"])
        monkeypatch.setattr(small, "output_posteriors_", None)
        with pytest.raises(ValueError, match="train it again"):
            small.get_expression_interval(modality="rna")


def test_labels_integrated_over_the_posterior(bmmc_multiome):
    """Their log probability is higher than at the MAP estimate, and they are calibrated."""
    truth = bmmc_multiome.obs["cell_type"].astype(str).to_numpy()
    hidden = np.random.default_rng(0).random(len(truth)) < 0.3
    bmmc_multiome.obs["label"] = np.where(hidden, "unknown", truth)
    model = fitted(bmmc_multiome, labels_key="label", batch_key="batch")
    labels = list(model.summary.labels)
    cells = np.flatnonzero(hidden & np.isin(truth, labels))
    codes = torch.tensor([labels.index(x) for x in truth[cells]])
    w = model.module.representations.z.detach()[torch.from_numpy(cells)]
    with torch.no_grad():
        at_map = model.module.mixture.class_log_prob(w[:, : model.module.n_latent])
    found = model._label_log_prob(model.adata_manager, cells, w, model.label_correlation_)

    def mean_log_prob(log_prob):
        return float(log_prob[torch.arange(len(codes)), codes].mean())

    def accuracy(log_prob):
        return float((log_prob.argmax(1) == codes).float().mean())

    assert mean_log_prob(found) > mean_log_prob(at_map) + 0.2
    assert accuracy(found) >= accuracy(at_map) - 0.01
    soft = model.predict(indices=cells, soft=True)
    assert abs(soft.max(axis=1).mean() - accuracy(found)) < 0.15
