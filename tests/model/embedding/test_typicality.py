"""Typicality of cells of known and unknown types."""

import mudata as md
import numpy as np
import pytest
import scvi
from sklearn.metrics import roc_auc_score
from tests.model.fitting import fitted, load, renamed

from multiDGD.datasets import simulate_multiome


@pytest.fixture(scope="module")
def model():
    scvi.settings.seed = 0
    mdata = simulate_multiome(n_cells=300, n_genes=80, n_peaks=80, seed=0)
    return fitted(mdata, train={"max_epochs": 30, "train_size": 0.7, "batch_size": 42})


class TestTypicality:
    def test_quantiles_of_held_out_cells_are_uniform(self, model):
        held_out = np.concatenate([model.validation_indices, model.test_indices])
        quantile = model.get_typicality(indices=held_out)
        assert 0 < quantile.min() < 0.05 and 0.95 < quantile.max() <= 1
        np.testing.assert_allclose(np.sort(quantile)[len(quantile) // 2], 0.5, atol=0.05)
        np.testing.assert_array_equal(model.get_typicality(indices=held_out), quantile)

    def test_quantiles_of_calibration_cells_do_not_depend_on_minibatches(self, model):
        cells = np.concatenate([model.validation_indices, model.test_indices])
        quantiles = [model.get_typicality(indices=cells, batch_size=n) for n in (1, 7, 128)]
        for found in quantiles[:2]:  # rounding can exchange two ranks
            np.testing.assert_allclose(found, quantiles[2], atol=1.01 / (len(cells) + 1))

    def test_scores_do_not_depend_on_other_cells(self, model):
        cells = model.validation_indices
        scores = model.get_typicality(indices=cells, as_quantile=False)
        for n in (1, 7):
            backwards = model.get_typicality(indices=cells[::-1], batch_size=n, as_quantile=False)
            np.testing.assert_allclose(backwards[::-1], scores, atol=1e-4)
        alone = model.get_typicality(indices=cells[4:5], as_quantile=False)
        np.testing.assert_allclose(alone, scores[4:5], atol=1e-4)

    def test_cells_with_permuted_features_are_atypical(self, model):
        generator = np.random.default_rng(0)
        parts = {}
        for name, part in model.adata[model.validation_indices].mod.items():
            parts[name] = renamed(part)
            parts[name].X = parts[name].X[:, generator.permutation(part.n_vars)]
        permuted = md.MuData(parts)
        assert np.median(model.get_typicality(permuted)) < 0.05
        scores = model.get_typicality(permuted, as_quantile=False)
        assert scores.min() < model.typical_scores_.min()

    def test_cells_with_smaller_libraries_are_typical(self, model):
        generator = np.random.default_rng(0)
        parts = {}
        for name, part in model.adata[model.validation_indices].mod.items():
            parts[name] = renamed(part)
            x = parts[name].X.toarray().astype(int)
            parts[name].X = generator.binomial(x, 0.4).astype(np.float32)
            parts[name].X[:, 0] += 1
        assert 0.25 < np.median(model.get_typicality(md.MuData(parts))) < 0.85

    def test_query_models_use_the_scores_of_the_reference(self, model):
        query = md.MuData({m: renamed(p) for m, p in model.adata.mod.items()})
        query_model = load(query, model)
        np.testing.assert_array_equal(query_model.typical_scores_, model.typical_scores_)


@pytest.mark.parametrize("unknown", [["CD14+ Mono", "CD16+ Mono"], ["Erythroblast", "Normoblast"]])
def test_cell_types_missing_in_the_reference_are_atypical(bmmc_multiome, unknown):
    labels = bmmc_multiome.obs["cell_type"].astype(str).to_numpy()
    new = np.isin(labels, [*unknown, "Proerythroblast"] if "Normoblast" in unknown else unknown)
    held_out = new | (np.random.default_rng(0).random(len(labels)) < 0.15)
    model = fitted(
        bmmc_multiome[~held_out].copy(),
        model={"n_latent": 20},
        train={"max_epochs": None, "batch_size": 128},
        labels_key="cell_type",
        batch_key="batch",
    )
    query = bmmc_multiome[held_out].copy()
    quantile = load(query, model).get_typicality()
    assert roc_auc_score(new[held_out], -quantile) > 0.8
    assert 0.25 < np.median(quantile[~new[held_out]]) < 0.75
