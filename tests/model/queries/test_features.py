"""Queries whose features or modalities differ from the reference."""

import anndata as ad
import mudata as md
import numpy as np
import pytest
import torch
from tests.model.fitting import fitted, renamed
from tests.model.queries.conftest import query_mudata
from tests.toy import toy_adata

from multiDGD.module import FeatureSubset
from multiDGD.nn import Counts


class TestFeatureSubset:
    def test_likelihood_includes_only_observed_features(self, reference):
        module = reference.module
        observed = {"rna": np.array([1, 4, 5, 9])}
        subset = FeatureSubset(module, observed)
        full = reference.adata_manager.create_torch_dataset()[range(10)]
        x = full["counts"]["rna"].to_dense()[:, observed["rna"]]
        part = renamed(reference.adata["rna"][:10, observed["rna"]].copy())
        np.testing.assert_array_equal(part.X.toarray(), x)
        with torch.no_grad():
            w = module.representations.z[:10]
            logits = module.generative(w, full["continuous"])["logits"]["rna"]
            mean = x.sum(1, keepdim=True) * logits[:, observed["rna"]].softmax(1)
            r = module.likelihood("rna").dispersion[observed["rna"]]
            truth = torch.distributions.NegativeBinomial(r, logits=(mean / r).log()).log_prob(x)
            dense = torch.zeros(10, 12)
            dense[:, observed["rna"]] = x
            counts = {"rna": Counts.from_dense(dense), "atac": full["counts"]["atac"]}
            batch = subset.batch({**full, "counts": counts})
            assert list(batch["counts"]) == ["rna"]
            logits = subset.module.generative(w, batch["continuous"])["logits"]
            loss = subset.module.reconstruction_loss(logits, batch["counts"])
        assert list(loss) == ["rna"]
        torch.testing.assert_close(-loss["rna"], truth.sum(1), rtol=1e-4, atol=1e-3)

    def test_all_features_observed_returns_the_module_itself(self, reference):
        subset = FeatureSubset(reference.module, reference.adata_manager.observed)
        assert subset.module is reference.module

    def test_module_is_unchanged(self, reference):
        before = {k: v.clone() for k, v in reference.module.state_dict().items()}
        subset = FeatureSubset(reference.module, {"atac": np.arange(3)})
        assert subset.module.modalities == ["atac"]
        assert reference.module.modalities == ["rna", "atac"]
        for key, value in reference.module.state_dict().items():
            torch.testing.assert_close(value, before[key])

    def test_no_observed_features(self, reference):
        with pytest.raises(ValueError, match="`observed`"):
            FeatureSubset(reference.module, {})


class TestFeatures:
    def test_order_of_features_has_no_effect(self, reference):
        query = query_mudata(reference.adata)
        z = reference.get_latent_representation(query)
        parts = {m: part[:, ::-1].copy() for m, part in reversed(list(query.mod.items()))}
        reordered = md.MuData(parts)
        for column in ("batch", "label", "site"):
            reordered.obs[column] = query.obs[column]
        np.testing.assert_allclose(reference.get_latent_representation(reordered), z, atol=1e-3)

    def test_extra_features_and_modalities_are_ignored_and_logged_once(
        self, reference, log_records
    ):
        query = query_mudata(reference.adata)
        z = reference.get_latent_representation(query)
        parts = {m: part.copy() for m, part in query.mod.items()}
        extra = toy_adata(60, 5, prefix="extra", seed=9)
        extra.obs = extra.obs[[]]
        extra.obs_names = parts["rna"].obs_names
        parts["rna"] = ad.concat([parts["rna"], extra], axis=1)
        parts["prot"] = extra
        wider = md.MuData(parts)
        for column in ("batch", "label", "site"):
            wider.obs[column] = query.obs[column].to_numpy()
        log_records.clear()
        np.testing.assert_allclose(reference.get_latent_representation(wider), z, atol=1e-3)
        reference.get_normalized_expression(wider)
        ignored = [text for _, text in log_records if "ignored" in text]
        assert len(ignored) == 2
        assert any("5 features of 'rna'" in text for text in ignored)
        assert any("['prot']" in text for text in ignored)

    def test_missing_features_are_not_zeros(self, reference, log_records):
        query = query_mudata(reference.adata)
        kept = [f"rna{j}" for j in range(4)]
        part = md.MuData({"rna": query["rna"][:, kept].copy()})
        zeros = query["rna"].copy()
        x = zeros.X.toarray()
        x[:, 4:] = 0
        zeros.X = x
        padded = md.MuData({"rna": zeros})
        for other in (part, padded):
            for column in ("batch", "label", "site"):
                other.obs[column] = query.obs[column].to_numpy()
        z = reference.get_latent_representation(part)
        assert np.abs(z - reference.get_latent_representation(padded)).max() > 1e-2
        assert ("WARNING", "4 of the model's 12 features of modality 'rna' were found") in [
            (level, text.split(";")[0]) for level, text in log_records
        ]
        error = reference.get_reconstruction_error(part)
        assert set(error) == {"reconstruction_loss", "reconstruction_loss_rna"}
        assert reference.get_normalized_expression(part, modality="rna").shape == (60, 12)

    def test_missing_modality_has_no_effect(self, reference):
        query = query_mudata(reference.adata, ["atac"])
        z = reference.get_latent_representation(query)
        other = reference.adata.copy()
        mosaic = md.MuData(
            {"rna": renamed(other["rna"], "other"), "atac": renamed(other["atac"], "new")}
        )
        for column in ("batch", "label", "site"):
            mosaic.obs[column] = np.tile(query.obs[column].to_numpy(), 2)
        is_query = mosaic.obs_names.isin(query.obs_names)
        found = reference.get_latent_representation(mosaic)[is_query]
        order = mosaic.obs_names[is_query].get_indexer(query.obs_names)
        np.testing.assert_allclose(found[order], z, atol=1e-3)

    def test_views_and_numeric_categories_as_strings(self):
        adata = toy_adata()
        adata.obs["batch"] = np.arange(40) % 2
        model = fitted(adata, batch_key="batch")
        query = renamed(adata)
        z = model.get_latent_representation(query)
        query.obs["batch"] = query.obs["batch"].astype(str)
        np.testing.assert_allclose(model.get_latent_representation(query[5:9]), z[5:9], atol=1e-3)

    def test_backed(self, tmp_path):
        model = fitted(toy_adata(), batch_key="batch")
        query = renamed(toy_adata())[:, [3, 1, 7, 11]].copy()
        z = model.get_latent_representation(query)
        renamed(query, "").write_h5ad(tmp_path / "query.h5ad")
        backed = ad.read_h5ad(tmp_path / "query.h5ad", backed="r")
        np.testing.assert_allclose(model.get_latent_representation(backed), z, atol=1e-3)
        backed.file.close()
