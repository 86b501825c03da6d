"""Models of the first implementation, compared with its own results."""

import logging

import mudata as md
import numpy as np
import pandas as pd
import pytest
import torch
from tests.legacy.conftest import PARTS, joint

from multiDGD import MultiDGD
from multiDGD.legacy._checkpoint import read_checkpoint


def decoded(state, head, z, u):
    """The first implementation's decoder, layer by layer."""
    x = np.concatenate([z, u], axis=1)
    layers = ["main.0", "main.2", *(f"out_modules.{head}.fc.{i}" for i in (0, 2, 4))]
    for i, layer in enumerate(layers):
        weight, bias = (state[f"decoder.{layer}.{p}"].double().numpy() for p in ("weight", "bias"))
        x = x @ weight.T + bias
        x = np.maximum(x, 0) if i < 4 else x
    x = np.exp(x - x.max(1, keepdims=True))
    return x / x.sum(1, keepdims=True)


def assert_as_expected(model, expected, modalities=("rna", "atac"), at=slice(0, 400)):
    z = model.get_latent_representation()[at]
    np.testing.assert_allclose(z, expected["latent_train"], atol=1e-6)
    u = model.get_covariate_representation()[at]
    np.testing.assert_allclose(u, expected["covariate_train"], atol=1e-6)
    assert (model.get_cluster_assignments()[at] == expected["clustering_train"]).all()
    for modality, key in zip(modalities, ("decoded_rna", "decoded_atac"), strict=True):
        y = model.get_normalized_expression(modality=modality, return_numpy=True)[at][:20]
        np.testing.assert_allclose(y, expected[key], rtol=1e-5, atol=1e-8)


class TestModel:
    def test_results_equal_those_of_the_first_implementation(self, model, expected):
        assert_as_expected(model, expected)
        test = model.get_latent_representation()[PARTS["test"]]
        np.testing.assert_allclose(test, expected["latent_test"], atol=1e-6)

    def test_all_parameters_are_loaded(self, model, state):
        mixture, (covariate,) = model.module.mixture, model.module.mixtures_of_covariates
        for found, name in ((mixture, "gmm"), (covariate, "correction_gmm")):
            for key in ("mean", "neglogvar", "weight"):
                assert torch.equal(getattr(found, key).detach(), state[f"{name}.{key}"])
        for i, modality in enumerate(("rna", "atac")):
            log_r = state[f"decoder.out_modules.{i}.distribution.log_r"][0]
            dispersion = model.module.likelihood(modality).dispersion
            assert torch.allclose(dispersion, 1 + log_r.exp())

    def test_split_is_loaded(self, model):
        assert model.is_trained
        for part, where in PARTS.items():
            found = getattr(model, f"{part}_indices_")
            assert np.array_equal(found, np.arange(500)[where])

    def test_priors_use_the_hyperparameters(self, model):
        mixture = model.module.mixture
        assert mixture.neglogvar_prior.mean == pytest.approx(-2 * np.log(0.02))
        assert mixture.mean_prior.radius == 2
        assert mixture.weight_alpha == 1

    def test_components_are_assigned_correctly(self, changed, cells, state):
        # All cells of this data set have one component; the modified mixture separates them.
        z, mean = (state["representation.z"].double(), state["representation.z"][::19][:21])
        scale = torch.linspace(9, 12, 20).expand(21, 20)
        folder = changed({"gmm.mean": mean, "gmm.neglogvar": scale})
        found = MultiDGD.load_legacy(folder, adata=cells).get_cluster_assignments()[:400]
        squares = ((z[:, None] - mean.double()) ** 2 * scale.double().exp()).sum(-1)
        wanted = (state["gmm.weight"].double() - squares / 2).argmax(1).numpy()
        assert len(np.unique(wanted)) > 5
        assert (found == wanted).mean() > 0.99


class TestData:
    def test_cells_in_any_order(self, folder, cells, expected):
        order = np.random.default_rng(0).permutation(500)
        shuffled = cells[order].copy()
        model = MultiDGD.load_legacy(folder, "dgd", adata=shuffled)
        at = np.argsort(order)[:400]
        assert_as_expected(model, expected, at=at)
        assert np.array_equal(model.train_indices_, np.sort(at))

    def test_subset_of_the_cells(self, folder, cells, expected):
        model = MultiDGD.load_legacy(folder, "dgd", adata=cells[100:460].copy())
        z = model.get_latent_representation()
        np.testing.assert_allclose(z[:300], expected["latent_train"][100:], atol=1e-6)
        np.testing.assert_allclose(z[350:], expected["latent_test"][:10], atol=1e-6)
        assert np.array_equal(model.test_indices_, np.arange(350, 360))

    @pytest.mark.parametrize(
        ("names", "key"),
        [(("GEX", "ATAC"), "modality"), (("Gene Expression", "Peaks"), "feature_types")],
    )
    def test_one_anndata(self, folder, cells, expected, names, key):
        # Modalities are sorted by name in a registry, so the order of the heads changes.
        model = MultiDGD.load_legacy(folder, "dgd", adata=joint(cells, names, key))
        assert model.module.modalities == sorted(names)
        assert_as_expected(model, expected, names)

    def test_modalities_in_another_order(self, folder, cells, expected):
        other = md.MuData({"ATAC": cells["atac"].copy(), "GEX": cells["rna"].copy()})
        other.obs["batch"] = cells.obs["batch"]
        MultiDGD.setup_mudata(other, batch_key="batch")
        model = MultiDGD.load_legacy(folder, "dgd", adata=other)
        assert model.module.modalities == ["ATAC", "GEX"]
        assert_as_expected(model, expected, ("GEX", "ATAC"))

    def test_existing_setup_is_used(self, folder, cells, expected):
        other = cells.copy()
        for part in other.mod.values():
            part.layers["counts"] = part.X.copy()
            part.X = np.ones(part.shape, dtype=np.float32)
        layers = dict.fromkeys(other.mod, "counts")
        MultiDGD.setup_mudata(other, layers=layers, batch_key="batch", labels_key="cell_type")
        model = MultiDGD.load_legacy(folder, "dgd", adata=other)
        assert_as_expected(model, expected)
        assert "top_label" in model.get_component_summary()
        with pytest.raises(ValueError, match="`predict` needs a supervised mixture"):
            model.predict()

    @pytest.mark.parametrize("categories", [["s1d1", "s1d2"], ["s1d2", "s1d1"]])
    def test_categories_in_any_order(self, folder, cells, expected, state, categories):
        other = cells.copy()
        other.obs["batch"] = pd.Categorical(other.obs["batch"], categories)
        model = MultiDGD.load_legacy(folder, "dgd", adata=other)
        assert_as_expected(model, expected)
        for code, batch in enumerate(("s1d1", "s1d2")):
            u = np.repeat(state["correction_gmm.mean"][[code]].numpy(), 5, axis=0)
            wanted = decoded(state, 1, expected["latent_train"][:5], u)
            y = model.get_normalized_expression(
                modality="atac", indices=range(5), transform_batch=batch, return_numpy=True
            )
            np.testing.assert_allclose(y, wanted, rtol=1e-4)

    def test_model_without_covariate(self, changed, cells, state):
        narrow = state["decoder.main.0.weight"][:, :20].clone()
        gone = [key for key in state if key.startswith("correction")]
        folder = changed(
            {"decoder.main.0.weight": narrow}, gone, hyperparameters={"correction_variable": []}
        )
        model = MultiDGD.load_legacy(folder, "dgd", adata=cells)
        assert model.module.covariates == []
        z = state["representation.z"][:5].numpy()
        wanted = decoded({**state, "decoder.main.0.weight": narrow}, 0, z, z[:, :0])
        y = model.get_normalized_expression(modality="rna", indices=range(5), return_numpy=True)
        np.testing.assert_allclose(y, wanted, rtol=1e-4)

    def test_model_with_one_modality(self, changed, cells, expected, state):
        gone = [key for key in state if key.startswith("decoder.out_modules.1")]
        one = {"modalities": ["rna"], "n_features_per_modality": [600], "n_features": 600}
        rna = cells["rna"].copy()
        rna.obs["covariate_batch"] = cells.obs["batch"]
        model = MultiDGD.load_legacy(changed(without=gone, hyperparameters=one), adata=rna)
        y = model.get_normalized_expression(indices=range(20), return_numpy=True)
        np.testing.assert_allclose(y, expected["decoded_rna"], rtol=1e-5, atol=1e-8)
        assert model.batch_key == "covariate_batch"


class TestCellsWithoutRepresentation:
    TEST = ("test_rep.z", "correction_test_rep.z")

    def test_are_embedded(self, changed, cells, model, expected):
        found = MultiDGD.load_legacy(changed(without=self.TEST), "dgd", adata=cells)
        assert_as_expected(found, expected)
        z = found.get_latent_representation()
        assert np.abs(z[PARTS["test"]] - expected["latent_test"]).max() > 1e-3
        assert np.array_equal(found.test_indices_, np.arange(450, 500))
        # The loss is lower than after the 20 epochs of the first implementation.
        before, after = (
            m.get_reconstruction_error(indices=range(450, 500)) for m in (model, found)
        )
        assert after["reconstruction_loss"] < before["reconstruction_loss"]

    def test_representations_of_other_cells_are_ignored(
        self, changed, cells, expected, state, caplog
    ):
        folder = changed({key: state[key][:30] for key in self.TEST})
        with caplog.at_level(logging.INFO, logger="scvi"):
            model = MultiDGD.load_legacy(folder, "dgd", adata=cells)
        assert_as_expected(model, expected)
        assert np.isfinite(model.get_latent_representation()).all()

    def test_split_from_obs_column_without_obs_csv(self, changed, cells, expected):
        folder = changed()
        split = pd.read_csv(folder / "_obs.csv", index_col=0)["train_val_test"]
        (folder / "_obs.csv").unlink()
        with pytest.raises(
            ValueError, match="no '_obs.csv' next to .* no column 'train_val_test'"
        ):
            MultiDGD.load_legacy(folder, "dgd", adata=cells)
        cells.obs["train_val_test"] = split
        assert_as_expected(MultiDGD.load_legacy(folder, "dgd", adata=cells), expected)


class TestMethodsOfThisPackage:
    def test_save_and_load(self, model, cells, expected, tmp_path):
        model.save(tmp_path / "model")
        again = MultiDGD.load(tmp_path / "model", adata=cells)
        assert_as_expected(again, expected)
        alone = MultiDGD.load(tmp_path / "model", adata=False)
        z = alone.get_latent_representation()
        np.testing.assert_allclose(z[:400], expected["latent_train"], atol=1e-6)

    def test_load_query_data(self, model, cells):
        query = cells[:40].copy()
        query.obs_names = [f"new{i}" for i in range(40)]
        for part in query.mod.values():
            part.obs_names = query.obs_names
        query.obs["batch"] = "s9d9"
        mapped = MultiDGD.load_query_data(query, model)
        mapped.train(max_epochs=2)
        own = model.get_reconstruction_error(indices=range(40))["reconstruction_loss"]
        assert mapped.get_reconstruction_error()["reconstruction_loss"] < own
        assert list(mapped.summary.covariates["batch"]) == ["s1d1", "s1d2", "s9d9"]

    def test_typicality_sample_impute_and_posterior(self, model, cells):
        assert model.get_typicality(indices=range(450, 500)).mean() == pytest.approx(0.5, abs=0.25)
        drawn = model.sample(20, seed=0)
        assert drawn["rna"].X.sum(1).min() > 0
        rna_only = md.MuData({"rna": cells["rna"][450:].copy()})
        rna_only.obs["batch"] = cells.obs["batch"][450:]
        imputed = model.impute(rna_only, "atac")
        counted = cells["atac"][450:].X.sum(0).A1
        correlation = np.corrcoef(np.log1p(imputed.sum()), np.log1p(counted))[0, 1]
        assert imputed.shape == (50, 600)
        assert correlation > 0.6
        variance = model.get_latent_representation(return_dist=True)[1]
        assert (variance > 0).all()

    def test_further_training(self, folder, cells):
        model = MultiDGD.load_legacy(folder, "dgd", adata=cells)
        before = model.get_reconstruction_error()["reconstruction_loss"]
        model.train(max_epochs=3, enable_progress_bar=False, accelerator="cpu")
        assert model.get_reconstruction_error()["reconstruction_loss"] < before


def test_checkpoint_is_read_without_data(folder):
    found = read_checkpoint(str(folder), "dgd")
    assert found.n_features == {"GEX": 600, "ATAC": 600}
    assert (found.covariate, found.n_categories) == ("batch", 2)
    assert {part: w.shape for part, w in found.representations.items()} == {
        "train": (400, 22),
        "validation": (50, 22),
        "test": (50, 22),
    }
