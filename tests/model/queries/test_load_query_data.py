"""Models of query cells and preparation of queries."""

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import torch
from tests.model.fitting import fitted, load, renamed
from tests.model.queries.conftest import query_mudata
from tests.toy import toy_adata

from multiDGD import MultiDGD
from multiDGD.inference import learn_categories
from multiDGD.module import MultiDGDModule, add_categories
from multiDGD.nn import Counts


class TestLoadQueryData:
    def test_representations_equal_those_of_the_reference(self, reference):
        query = query_mudata(reference.adata)
        z = reference.get_latent_representation(query)
        model = load(query.copy(), reference)
        np.testing.assert_allclose(model.get_latent_representation(), z, atol=1e-3)
        np.testing.assert_array_equal(model.predict(), reference.predict(query))

    def test_new_categories_in_several_covariates(self, reference, tmp_path):
        before = {k: v.clone() for k, v in reference.module.state_dict().items()}
        query = query_mudata(reference.adata)[:30].copy()
        query.obs["batch"] = np.resize(["b1", "p", "q"], 30)
        query.obs["site"] = np.resize(["v", "y"], 30)
        model = load(query, reference)
        assert model.new_categories_ == {"batch": ["p", "q"], "site": ["v"]}
        assert list(model.summary.covariates["batch"]) == ["b0", "b1", "p", "q"]
        batch, site = model.module.mixtures_of_covariates
        assert (batch.Nclass, site.Nclass) == (4, 4)
        # The parameters of the reference are unchanged in both models.
        for key, value in reference.module.state_dict().items():
            torch.testing.assert_close(value, before[key])
            if "covariate" not in key and "representations" not in key:
                torch.testing.assert_close(model.module.state_dict()[key], value)
        for extended, known in zip(
            (batch, site), reference.module.mixtures_of_covariates, strict=True
        ):
            torch.testing.assert_close(extended.mean[: known.Nclass], known.mean)
        assert torch.isfinite(batch.mean).all()
        assert len(model.history["train_loss"]) == 5
        assert model.history["train_loss"].iloc[-1, 0] < model.history["train_loss"].iloc[0, 0]
        decoded = model.get_normalized_expression(modality="rna", transform_batch="q")
        assert decoded.shape == (30, 12)

        model.save(tmp_path / "query")
        for data in (False, query):
            loaded = MultiDGD.load(tmp_path / "query", adata=data)
            np.testing.assert_array_equal(
                loaded.get_latent_representation(), model.get_latent_representation()
            )
            np.testing.assert_array_equal(loaded.predict(data or query), model.predict())
        fresh = query.copy()
        fresh.obs_names = [f"again{i}" for i in range(30)]
        for m in fresh.mod:
            fresh[m].obs_names = fresh.obs_names
        np.testing.assert_allclose(
            loaded.get_covariate_representation("batch", fresh),
            model.get_covariate_representation("batch", fresh),
            atol=1e-4,
        )

    def test_query_of_a_query(self, reference):
        first = query_mudata(reference.adata)
        first.obs["batch"] = "p"
        second = query_mudata(reference.adata, prefix="second")
        second.obs["batch"] = np.resize(["p", "b0", "q"], 60)
        model = load(second, load(first, reference))
        assert list(model.summary.covariates["batch"]) == ["b0", "b1", "p", "q"]
        assert model.new_categories_ == {"batch": ["q"]}
        assert model.module.mixtures_of_covariates[0].Nclass == 4

    def test_from_a_folder_without_a_modality(self, reference, tmp_path):
        reference.save(tmp_path / "reference")
        query = query_mudata(reference.adata, ["atac"])
        model = load(query, tmp_path / "reference")
        np.testing.assert_allclose(
            model.get_latent_representation(),
            reference.get_latent_representation(query_mudata(reference.adata, ["atac"])),
            atol=1e-3,
        )
        assert model.get_normalized_expression(modality="rna").shape == (60, 12)
        model.save(tmp_path / "query", save_anndata=True)
        loaded = MultiDGD.load(tmp_path / "query")
        np.testing.assert_array_equal(
            loaded.get_latent_representation(), model.get_latent_representation()
        )

    def test_labels_are_not_required(self, reference):
        query = query_mudata(reference.adata)
        with_labels = load(query.copy(), reference).get_latent_representation()
        del query.obs["label"]
        found = load(query, reference).get_latent_representation()
        np.testing.assert_array_equal(found, with_labels)

    def test_modality_key_column_is_not_required(self):
        adata = toy_adata(n_features=20)
        adata.var["feature_types"] = np.where(np.arange(20) % 3 == 0, "Peaks", "Genes")
        model = fitted(adata, modality_key="feature_types")
        genes = renamed(adata[:, adata.var["feature_types"] == "Genes"].copy())
        query_model = load(genes, model)
        assert query_model.get_normalized_expression(modality="Peaks").shape == (40, 7)

    def test_scvi_options_without_effect_are_accepted(self, reference):
        query = query_mudata(reference.adata)
        model = MultiDGD.load_query_data(
            query, reference, inplace_subset_query_vars=True, freeze_dropout=True
        )
        model.train(max_epochs=1, plan_kwargs={"weight_decay": 0.0}, early_stopping=False)
        assert model.is_trained

    def test_reference_with_one_batch_logs_a_warning(self, log_records):
        adata = toy_adata()
        adata.obs["batch"] = pd.Categorical(["only"] * 40, categories=["only", "empty"])
        model = fitted(adata, batch_key="batch")
        assert model.module.covariates == []
        query = renamed(toy_adata())
        query_model = load(query, model)
        assert any(
            level == "WARNING" and "'b0'" in text and "cannot correct" in text
            for level, text in log_records
        )
        assert query_model.get_latent_representation().shape == (40, 3)


class TestPrepareQuery:
    def test_anndata(self):
        model = fitted(toy_adata())
        names = MultiDGD.prepare_query_anndata(None, model, return_reference_var_names=True)
        assert list(names) == [f"gene{j}" for j in range(12)]
        query = ad.concat([toy_adata()[:, [7, 3]], toy_adata(prefix="other")], axis=1)
        found = MultiDGD.prepare_query_anndata(query, model, inplace=False)
        assert list(found.var_names) == ["gene3", "gene7"]
        assert query.n_vars == 14
        assert MultiDGD.prepare_query_anndata(query, model) is None
        np.testing.assert_array_equal(query.X.toarray(), found.X.toarray())

    def test_mudata(self, reference):
        query = query_mudata(reference.adata)
        parts = {"prot": query["rna"].copy(), "atac": query["atac"][:, [5, 2]].copy()}
        query = md.MuData(parts)
        found = MultiDGD.prepare_query_mudata(query, reference, inplace=False)
        assert list(query.mod) == ["prot", "atac"]
        MultiDGD.prepare_query_mudata(query, reference)
        for mdata in (query, found):
            assert list(mdata.mod) == ["atac"]
            assert list(mdata["atac"].var_names) == ["atac2", "atac5"]
            assert mdata.shape == (60, 2)
        names = MultiDGD.prepare_query_mudata(None, reference, return_reference_var_names=True)
        assert {m: len(n) for m, n in names.items()} == {"rna": 12, "atac": 15}


def test_component_of_a_new_category_recovers_the_true_mean():
    torch.manual_seed(0)
    module = MultiDGDModule(
        1, {"rna": 60}, n_latent=2, n_components=3, covariates={"batch": 3}, sd_mean=0.3
    )
    with torch.no_grad():
        for weight in module.decoder.parameters():
            weight.mul_(2.5)
        module.mixtures_of_covariates[0].mean.copy_(
            torch.tensor([[1.0, 0.0], [-0.5, 0.9], [-0.5, -0.9]])
        )
        module.covariate_mixtures.requires_grad_(False)
        truth = torch.tensor([0.6, 0.7])
        w = torch.cat([module.mixture.sample(300), truth + 0.1 * torch.randn(300, 2)], dim=1)
        likelihood = module.likelihood("rna")
        logits = module.generative(w, torch.zeros(300, 0))["logits"]["rna"]
        x = likelihood.sample(likelihood.mean(logits, torch.full((300,), 800.0)))
    add_categories(module, {"batch": 1})
    batch = {
        "cells": torch.arange(300),
        "counts": {"rna": Counts.from_dense(x)},
        "labels": torch.full((300,), -1),
        "covariates": torch.full((300, 1), 3),
        "continuous": torch.zeros(300, 0),
    }
    others = module.mixtures_of_covariates[0].mean[:3].clone()
    losses = learn_categories(module, [batch], {"batch": [3]})
    found = module.mixtures_of_covariates[0].mean
    torch.testing.assert_close(found[:3], others)
    assert (found[3] - truth).norm() < 0.15
    assert losses[-1] < losses[0]
    assert not any(p.requires_grad for p in module.covariate_mixtures.parameters())
