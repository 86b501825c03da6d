"""Cells that a trained model has not seen."""

import logging

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
import scvi
import torch
from sklearn.metrics import roc_auc_score
from tests.toy import toy_adata, toy_mudata

from multiDGD import MultiDGD
from multiDGD.datasets import simulate_multiome
from multiDGD.latent import GaussianMixtureSupervised
from multiDGD.model._calibration import calibrated, class_correlation, fit_calibration
from multiDGD.model._typicality import _moments
from multiDGD.module import MultiDGDModule, Restriction, add_categories
from multiDGD.nn import Counts, get_likelihood
from multiDGD.train import learn_categories

TRAIN = {"max_epochs": 2, "batch_size": 16, "enable_progress_bar": False, "accelerator": "cpu"}


def fitted(data, model=None, train=None, **setup):
    method = MultiDGD.setup_mudata if isinstance(data, md.MuData) else MultiDGD.setup_anndata
    method(data, **setup)
    found = MultiDGD(data, **{"n_latent": 3, **(model or {})})
    found.train(**{**TRAIN, **(train or {})})
    return found


def renamed(adata, prefix="new"):
    """The same counts under other names, without traces of a setup."""
    found = ad.AnnData(adata.X.copy(), obs=adata.obs[[c for c in adata.obs if c[0] != "_"]].copy())
    found.obs_names = [prefix + name for name in adata.obs_names]
    found.var_names = adata.var_names
    return found


def query_mudata(mdata, modalities=None, prefix="new"):
    mdata = mdata.copy()
    parts = {m: renamed(mdata.mod[m], prefix) for m in modalities or mdata.mod}
    for part in parts.values():
        part.obs = part.obs[[]]
    found = md.MuData(parts)
    for column in ("batch", "label", "site", "age"):
        found.obs[column] = mdata.obs[column].to_numpy()
    return found


@pytest.fixture
def said():
    """What scvi-tools' logger and its children say."""
    records = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append((record.levelname, record.getMessage()))
    logger = logging.getLogger("scvi")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield records
    logger.removeHandler(handler)
    logger.setLevel(before)


@pytest.fixture(scope="module")
def reference():
    scvi.settings.seed = 0
    setup = {"batch_key": "batch", "labels_key": "label", "categorical_covariate_keys": ["site"]}
    return fitted(toy_mudata(60), train={"max_epochs": 20}, **setup)


class TestRestriction:
    def test_likelihood_is_that_of_the_observed_features_alone(self, reference):
        module = reference.module
        observed = {"rna": np.array([1, 4, 5, 9])}
        seen = Restriction(module, observed)
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
            batch = seen.batch({**full, "counts": counts})
            assert list(batch["counts"]) == ["rna"]
            logits = seen.module.generative(w, batch["continuous"])["logits"]
            loss = seen.module.reconstruction_loss(logits, batch["counts"])
        assert list(loss) == ["rna"]
        torch.testing.assert_close(-loss["rna"], truth.sum(1), rtol=1e-4, atol=1e-3)

    def test_everything_measured_is_the_module_itself(self, reference):
        seen = Restriction(reference.module, reference.adata_manager.observed)
        assert seen.module is reference.module

    def test_the_module_is_left_as_it_is(self, reference):
        before = {k: v.clone() for k, v in reference.module.state_dict().items()}
        seen = Restriction(reference.module, {"atac": np.arange(3)})
        assert seen.module.modalities == ["atac"]
        assert reference.module.modalities == ["rna", "atac"]
        for key, value in reference.module.state_dict().items():
            torch.testing.assert_close(value, before[key])

    def test_nothing_measured(self, reference):
        with pytest.raises(ValueError, match="`observed`"):
            Restriction(reference.module, {})


class TestFeatures:
    def test_order_does_not_matter(self, reference):
        query = query_mudata(reference.adata)
        z = reference.get_latent_representation(query)
        parts = {m: part[:, ::-1].copy() for m, part in reversed(list(query.mod.items()))}
        turned = md.MuData(parts)
        for column in ("batch", "label", "site"):
            turned.obs[column] = query.obs[column]
        np.testing.assert_allclose(reference.get_latent_representation(turned), z, atol=1e-3)

    def test_extra_features_and_modalities_do_not_matter_and_are_said_once(self, reference, said):
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
        said.clear()
        np.testing.assert_allclose(reference.get_latent_representation(wider), z, atol=1e-3)
        reference.get_normalized_expression(wider)
        ignored = [text for _, text in said if "ignored" in text]
        assert len(ignored) == 2
        assert any("5 features of 'rna'" in text for text in ignored)
        assert any("['prot']" in text for text in ignored)

    def test_missing_features_are_not_zeros(self, reference, said):
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
        assert ("WARNING", "4 of the model's 12 features of modality 'rna' are there") in [
            (level, text.split(";")[0]) for level, text in said
        ]
        error = reference.get_reconstruction_error(part)
        assert set(error) == {"reconstruction_loss", "reconstruction_loss_rna"}
        assert reference.get_normalized_expression(part, modality="rna").shape == (60, 12)

    def test_a_missing_modality_tells_nothing(self, reference):
        query = query_mudata(reference.adata, ["atac"])
        z = reference.get_latent_representation(query)
        other = reference.adata.copy()
        mosaic = md.MuData(
            {"rna": renamed(other["rna"], "other"), "atac": renamed(other["atac"], "new")}
        )
        for column in ("batch", "label", "site"):
            mosaic.obs[column] = np.tile(query.obs[column].to_numpy(), 2)
        lacking = mosaic.obs_names.isin(query.obs_names)
        found = reference.get_latent_representation(mosaic)[lacking]
        order = mosaic.obs_names[lacking].get_indexer(query.obs_names)
        np.testing.assert_allclose(found[order], z, atol=1e-3)

    def test_views_and_strings_for_numbers(self):
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


class TestRefusals:
    def test_other_features(self, reference):
        query = query_mudata(reference.adata)
        query["rna"].var_names = [f"ENSMUSG{j}" for j in range(12)]
        message = (
            r"0 of the model's 12 features of modality 'rna' matched.*'rna0', 'rna1', 'rna2', .*"
            "'ENSMUSG0', 'ENSMUSG1', 'ENSMUSG2'"
        )
        for ask in (
            lambda: reference.get_latent_representation(query),
            lambda: MultiDGD.load_query_data(query, reference),
            lambda: MultiDGD.prepare_query_mudata(query, reference),
        ):
            with pytest.raises(ValueError, match=message):
                ask()

    def test_other_modalities(self, reference):
        query = query_mudata(reference.adata)
        query = md.MuData({"GEX": query["rna"].copy()})
        message = r"0 of the model's 27 features.*'rna' with 'rna0'.*'GEX' with 'rna0', 'rna1'"
        with pytest.raises(ValueError, match=message):
            reference.get_latent_representation(query)

    def test_other_features_of_one_adata(self):
        model = fitted(toy_adata())
        with pytest.raises(ValueError, match="0 of the model's 12.*'gene0'.*'Gene0', 'Gene1'"):
            model.get_latent_representation(toy_adata(prefix="Gene"))

    def test_unseen_categories_point_to_what_learns_them(self, reference):
        query = query_mudata(reference.adata)
        query.obs["site"] = "w"
        with pytest.raises(ValueError, match=r"'w' of `obs\['site'\]`.*load_query_data"):
            reference.get_latent_representation(query)
        assert "_scvi_batch" not in query.obs

    def test_missing_columns(self, reference):
        query = query_mudata(reference.adata)
        del query.obs["site"]
        for ask in (reference.get_latent_representation, lambda q: load(q, reference)):
            with pytest.raises(ValueError, match="`categorical_covariate_keys`: 'site'"):
                ask(query)

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ({"reference_model": None}, ValueError, "`reference_model` is needed"),
            ({"reference_model": 3}, ValueError, "`reference_model`.*int"),
            ({"unfrozen": True}, ValueError, "`unfrozen`"),
            ({"freze": True}, TypeError, "freze"),
        ],
    )
    def test_arguments(self, reference, arguments, error, message):
        query = query_mudata(reference.adata)
        with pytest.raises(error, match=message):
            MultiDGD.load_query_data(query, **{"reference_model": reference, **arguments})

    @pytest.mark.parametrize("argument", ["max_epochs", "batch_size"])
    @pytest.mark.parametrize("value", [0, 2.5])
    def test_sizes_are_whole_numbers(self, reference, argument, value):
        query_model = MultiDGD.load_query_data(query_mudata(reference.adata), reference)
        with pytest.raises(ValueError, match=f"`{argument}` must be an integer of at least 1"):
            query_model.train(**{argument: value})

    def test_no_cells(self):
        with pytest.raises(ValueError, match="`adata` has no cells"):
            fitted(toy_adata()).get_latent_representation(renamed(toy_adata()[:0].copy()))

    def test_features_of_one_name(self):
        query = toy_adata()
        query.var_names = ["gene0", "gene0", *query.var_names[2:]]
        for inplace in (True, False):
            with pytest.raises(ValueError, match="must be unique.*'gene0'"):
                MultiDGD.prepare_query_anndata(query, fitted(toy_adata()), inplace=inplace)

    def test_untrained_reference_and_query(self, reference):
        mdata = toy_mudata()
        MultiDGD.setup_mudata(mdata)
        with pytest.raises(ValueError, match="not trained"):
            MultiDGD.load_query_data(toy_mudata(), MultiDGD(mdata))
        query_model = MultiDGD.load_query_data(query_mudata(reference.adata), reference)
        with pytest.raises(RuntimeError, match="not trained"):
            query_model.get_latent_representation()

    def test_the_wrong_kind_of_object(self, reference):
        with pytest.raises(ValueError, match="must be a MuData"):
            MultiDGD.load_query_data(toy_adata(), reference)
        with pytest.raises(ValueError, match=r"MuData\(\{'rna': adata\}\)"):
            MultiDGD.prepare_query_mudata(toy_adata(), reference)


def load(query, reference, **train):
    model = MultiDGD.load_query_data(query, reference)
    model.train(**{"max_epochs": 5, **train})
    return model


class TestLoadQueryData:
    def test_known_cells_are_placed_as_the_reference_places_them(self, reference):
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
        # The reference is as it was, in itself and in the query's model.
        for key, value in reference.module.state_dict().items():
            torch.testing.assert_close(value, before[key])
            if "covariate" not in key and "representations" not in key:
                torch.testing.assert_close(model.module.state_dict()[key], value)
        for own, theirs in zip(
            (batch, site), reference.module.mixtures_of_covariates, strict=True
        ):
            torch.testing.assert_close(own.mean[: theirs.Nclass], theirs.mean)
        assert torch.isfinite(batch.mean).all()
        assert len(model.history["train_loss"]) == 5
        assert model.history["train_loss"].iloc[-1, 0] < model.history["train_loss"].iloc[0, 0]
        decoded = model.get_normalized_expression(transform_batch="q")
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

    def test_a_query_of_a_query(self, reference):
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

    def test_labels_are_not_needed(self, reference):
        query = query_mudata(reference.adata)
        with_labels = load(query.copy(), reference).get_latent_representation()
        del query.obs["label"]
        found = load(query, reference).get_latent_representation()
        np.testing.assert_array_equal(found, with_labels)

    def test_another_modality_key_column_is_not_needed(self):
        adata = toy_adata(n_features=20)
        adata.var["feature_types"] = np.where(np.arange(20) % 3 == 0, "Peaks", "Genes")
        model = fitted(adata, modality_key="feature_types")
        genes = renamed(adata[:, adata.var["feature_types"] == "Genes"].copy())
        query_model = load(genes, model)
        assert query_model.get_normalized_expression(modality="Peaks").shape == (40, 7)

    def test_scvi_options_that_change_nothing(self, reference):
        query = query_mudata(reference.adata)
        model = MultiDGD.load_query_data(
            query, reference, inplace_subset_query_vars=True, freeze_dropout=True
        )
        model.train(max_epochs=1, plan_kwargs={"weight_decay": 0.0}, early_stopping=False)
        assert model.is_trained

    def test_one_batch_in_the_reference_cannot_correct(self, said):
        adata = toy_adata()
        adata.obs["batch"] = pd.Categorical(["only"] * 40, categories=["only", "empty"])
        model = fitted(adata, batch_key="batch")
        assert model.module.covariates == []
        query = renamed(toy_adata())
        query_model = load(query, model)
        assert any(
            level == "WARNING" and "'b0'" in text and "cannot correct" in text
            for level, text in said
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


def test_a_new_category_is_found_where_its_cells_come_from():
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


@pytest.fixture(scope="module")
def model():
    scvi.settings.seed = 0
    mdata = simulate_multiome(n_cells=300, n_genes=80, n_peaks=80, seed=0)
    return fitted(mdata, train={"max_epochs": 30, "train_size": 0.7, "batch_size": 42})


class TestTypicality:
    def test_held_out_cells_spread_evenly(self, model):
        held_out = np.concatenate([model.validation_indices, model.test_indices])
        found = model.get_typicality(indices=held_out)
        assert 0 < found.min() < 0.05 and 0.95 < found.max() <= 1
        np.testing.assert_allclose(np.sort(found)[len(found) // 2], 0.5, atol=0.05)
        np.testing.assert_array_equal(model.get_typicality(indices=held_out), found)

    def test_known_cells_are_where_they_were_whatever_the_minibatch(self, model):
        cells = np.concatenate([model.validation_indices, model.test_indices])
        alike = [model.get_typicality(indices=cells, batch_size=n) for n in (1, 7, 128)]
        np.testing.assert_array_equal(alike[0], alike[2])
        np.testing.assert_array_equal(alike[1], alike[2])

    def test_other_cells_that_are_asked_about_do_not_matter(self, model):
        cells = model.validation_indices
        found = model.get_typicality(indices=cells, as_quantile=False)
        for n in (1, 7):
            backwards = model.get_typicality(indices=cells[::-1], batch_size=n, as_quantile=False)
            np.testing.assert_allclose(backwards[::-1], found, rtol=1e-3)
        alone = model.get_typicality(indices=cells[4:5], as_quantile=False)
        np.testing.assert_allclose(alone, found[4:5], rtol=1e-3)

    @pytest.mark.parametrize("name", ["poisson", "nb"])
    def test_moments_are_those_of_the_likelihood(self, name):
        likelihood = get_likelihood(name)(3)
        mean = torch.tensor([0.05, 2.0, 30.0])
        log_p = likelihood.log_prob_zero(mean.expand(400, -1)).clone()
        x, columns = torch.arange(1.0, 400).repeat(3), torch.arange(3).repeat_interleave(399)
        log_p[1:] += likelihood.log_ratio_to_zero(x, mean.log()[columns], columns).view(3, -1).T
        log_p = log_p.detach()
        expected = (log_p.exp() * log_p).sum(0)
        variance = (log_p.exp() * (log_p - expected) ** 2).sum(0)
        with torch.no_grad():
            found = _moments(likelihood, mean.expand(2000, -1), range(2000))
        assert float(found[0].mean()) == pytest.approx(float(expected.sum()), abs=0.02)
        assert float(found[1].mean()) == pytest.approx(float(variance.sum()), rel=0.05)

    def test_cells_of_shuffled_features_are_unlike_any(self, model):
        order = np.random.default_rng(0)
        parts = {}
        for name, part in model.adata[model.validation_indices].mod.items():
            parts[name] = renamed(part)
            parts[name].X = parts[name].X[:, order.permutation(part.n_vars)]
        strange = md.MuData(parts)
        assert np.median(model.get_typicality(strange)) < 0.05
        scores = model.get_typicality(strange, as_quantile=False)
        assert scores.min() < model.typical_scores_.min()

    def test_depth_alone_makes_no_cell_strange(self, model):
        generator = np.random.default_rng(0)
        parts = {}
        for name, part in model.adata[model.validation_indices].mod.items():
            parts[name] = renamed(part)
            x = parts[name].X.toarray().astype(int)
            parts[name].X = generator.binomial(x, 0.4).astype(np.float32)
            parts[name].X[:, 0] += 1
        assert 0.25 < np.median(model.get_typicality(md.MuData(parts))) < 0.85

    def test_it_is_taken_from_the_reference(self, model):
        query = md.MuData({m: renamed(p) for m, p in model.adata.mod.items()})
        query_model = load(query, model)
        np.testing.assert_array_equal(query_model.typical_scores_, model.typical_scores_)


@pytest.mark.parametrize("unknown", [["CD14+ Mono", "CD16+ Mono"], ["Erythroblast", "Normoblast"]])
def test_types_that_the_reference_lacks_are_told(bmmc_multiome, unknown):
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
    found = load(query, model).get_typicality()
    assert roc_auc_score(new[held_out], -found) > 0.8
    assert 0.25 < np.median(found[~new[held_out]]) < 0.75


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_calibration_is_that_of_the_labels(noise):
    torch.manual_seed(0)
    log_prob = torch.randn(20_000, 4) * 3
    truth = (1 - noise) * (log_prob / 2.5).softmax(1) + noise / 4
    torch.testing.assert_close(calibrated(log_prob, 2.5, noise).exp().float(), truth)
    labels = torch.distributions.Categorical(truth).sample()
    temperature, found = fit_calibration(log_prob, labels)
    assert temperature == pytest.approx(2.5, rel=0.06)
    assert found == pytest.approx(noise, abs=0.021)


def test_noise_bounds_what_is_predicted(bmmc_cite):
    mdata = bmmc_cite[:100].copy()
    model = fitted(mdata, train={"max_epochs": 2}, labels_key="cell_type")
    hard = model.predict()
    model.label_noise_ = 0.3
    soft = model.predict(soft=True)
    assert soft.to_numpy().min() >= 0.3 / soft.shape[1] - 1e-6
    assert soft.to_numpy().max() <= 0.7 + 0.3 / soft.shape[1] + 1e-6
    assert (soft.idxmax(axis=1) == hard).all()
    np.testing.assert_allclose(soft.sum(axis=1), 1, rtol=1e-5)


def test_without_labels_nothing_is_calibrated():
    log_prob = torch.randn(0, 4)
    assert fit_calibration(log_prob, torch.zeros(0)) == pytest.approx((1, 0))


@pytest.mark.parametrize("components", [1, 2])
def test_classes_share_a_correlation(components):
    torch.manual_seed(0)
    mixture = GaussianMixtureSupervised(3, components, 4, "diagonal", (2.0, 5.0), (0.2, 1.0))
    truth = torch.eye(4)
    truth[0, 1] = truth[1, 0] = -0.7
    truth[2, 3] = truth[3, 2] = 0.3
    root = torch.linalg.cholesky(truth)

    def drawn(n):
        component = torch.randint(3 * components, (n,))
        noise = (torch.randn(n, 4) @ root.T) * mixture.stddev[component]
        return mixture.mean[component] + noise, component // components

    found = class_correlation(*drawn(20_000), mixture)
    np.testing.assert_allclose(found, truth, atol=0.03)
    # Ten cells say little of it.
    few = class_correlation(*drawn(10), mixture)
    assert np.linalg.eigvalsh(few).min() > 0.1
    np.testing.assert_array_equal(np.diag(few), 1)


@pytest.mark.parametrize("n_labelled", [1, 2])
def test_labels_of_very_few_cells(n_labelled):
    mdata = simulate_multiome(n_cells=100, n_genes=20, n_peaks=20)
    labels = np.full(100, "unknown", dtype=object)
    labels[:n_labelled] = "A"
    mdata.obs["few"] = labels
    model = fitted(mdata, train={"max_epochs": 2, "train_size": 1.0}, labels_key="few")
    assert (model.predict() == "A").all()


def test_a_donor_is_labelled_by_another(bmmc_multiome):
    first = (bmmc_multiome.obs["batch"] == "s1d1").to_numpy()
    reference = fitted(
        bmmc_multiome[first].copy(),
        model={"n_latent": 20},
        train={"max_epochs": None, "batch_size": 128},
        labels_key="cell_type",
        batch_key="batch",
    )
    query = bmmc_multiome[~first].copy()
    model = load(query, reference)
    truth = query.obs["cell_type"].astype(str).to_numpy()
    predicted = model.predict()
    # Far above the most frequent type (0.15) ...
    assert (predicted == truth).mean() > 0.45
    # ... surer of itself where it is right, and not much surer than it is right.
    sure = model.predict(soft=True).max(axis=1).to_numpy()
    assert roc_auc_score(predicted == truth, sure) > 0.6
    assert abs(sure.mean() - (predicted == truth).mean()) < 0.15
    assert model.label_temperature_ == reference.label_temperature_ > 1.5
    assert model.label_noise_ == reference.label_noise_
    # The correlation within types was learned from one donor and holds in the other.
    known = np.isin(truth, reference.summary.labels)
    at = np.arange(len(truth))[known], reference.summary.labels.searchsorted(truth[known])
    cells, w = model._representation(model.adata_manager, None, None)
    shaped = model._label_log_prob(model.adata_manager, cells, w).numpy()
    model.label_correlation_ = None
    plain = model._label_log_prob(model.adata_manager, cells, w).numpy()
    assert np.mean(shaped[at] - plain[at]) > 0.03


@pytest.mark.slow
def test_cell_lines_of_a_protocol_that_was_not_trained_on(sc_mixology):
    genes = np.argsort(-np.asarray(sc_mixology.X.sum(0)).ravel())[:3000]
    new = (sc_mixology.obs["batch"] == "sc_celseq2").to_numpy()
    reference = fitted(
        sc_mixology[~new, genes].copy(),
        model={"n_latent": 20},
        train={"max_epochs": None, "batch_size": 128},
        labels_key="cell_type",
        batch_key="batch",
    )
    query = sc_mixology[new].copy()
    model = load(query, reference, max_epochs=None)
    truth = query.obs["cell_type"].astype(str).to_numpy()
    assert (model.predict() == truth).mean() > 0.97
