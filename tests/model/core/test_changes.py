"""Answers after counts, columns or names of a registered object were changed in place."""

import copy
import pickle
import threading

import numpy as np
import pytest
import scipy.sparse as sp
import scvi
from tests.model.fitting import fitted, load, renamed, renamed_mudata
from tests.toy import toy_adata, toy_mudata

from multiDGD import MultiDGD
from multiDGD.model.core._representation_cache import RepresentationCache, parameters_version

GETTERS = {
    "representation": lambda m: m.get_latent_representation(),
    "one cell": lambda m: m.get_latent_representation(indices=[3]),
    "expression": lambda m: m.get_normalized_expression(),
    "loss": lambda m: m.get_reconstruction_error(),
    "typicality": lambda m: m.get_typicality(),
    "annotation": lambda m: m.annotate(),
    "draws": lambda m: m.posterior_predictive_sample(n_samples=1),
    "fold changes": lambda m: m.differential_expression(groupby="label", silent=True),
}
SETUP = {"batch_key": "batch", "continuous_covariate_keys": ["age"], "labels_key": "label"}


@pytest.fixture(scope="module")
def trained():
    scvi.settings.seed = 0
    return fitted(toy_adata(60, rate=4), train={"max_epochs": 4}, **SETUP)


@pytest.fixture
def model(trained):
    """A copy, whose data the test may change."""
    return copy.deepcopy(trained)


@pytest.fixture
def query():
    return renamed(toy_adata(30, seed=5, rate=4))


def answers(model, data):
    return (
        model.get_latent_representation(data),
        model.get_covariate_representation("batch", data),
        model.get_normalized_expression(data, return_numpy=True),
    )


def add_one(x):
    x.data += 1


def swap_cells(x):
    x.data[:] = x[::-1].data.copy()


class TestTrainingCells:
    @pytest.mark.filterwarnings("ignore:.*does not contain unnormalized")
    @pytest.mark.parametrize("name", GETTERS)
    def test_changed_counts_raise(self, model, name):
        x = model.adata.X
        before = x.data.copy()
        answer = GETTERS[name](model)
        x.data = np.log1p(x.data)
        message = r"`X`: the counts of 60 cells were changed.*'cell0'.*layer='counts'"
        for _ in range(2):
            with pytest.raises(ValueError, match=message):
                GETTERS[name](model)
        x.data = before
        again = GETTERS[name](model)
        if isinstance(answer, np.ndarray):
            np.testing.assert_array_equal(again, answer)

    def test_one_changed_count_raises(self, model):
        model.adata.X.data[5] += 1
        with pytest.raises(ValueError, match=r"the counts of 1 cells were changed"):
            model.get_latent_representation(indices=[7])

    def test_changed_counts_are_new_cells_in_a_copy(self, model):
        z = model.get_latent_representation()
        model.adata.X.data += 1
        assert np.abs(model.get_latent_representation(model.adata.copy()) - z).max() > 1e-4

    def test_the_message_names_modality_and_layer(self):
        mdata = toy_mudata(30)
        mdata["atac"].layers["raw"] = mdata["atac"].X.copy()
        model = fitted(mdata, layers={"atac": "raw"})
        mdata["atac"].X.data *= 2
        model.get_latent_representation()
        mdata["atac"].layers["raw"].data *= 2
        with pytest.raises(ValueError, match=r"^Modality 'atac': `layers\['raw'\]`: the counts"):
            model.get_latent_representation()

    def test_removed_layer_raises(self):
        adata = toy_adata()
        adata.layers["raw"] = adata.X.copy()
        model = fitted(adata, layer="raw")
        del adata.layers["raw"]
        with pytest.raises(ValueError, match="`layer`: 'raw' is not a layer"):
            model.get_latent_representation()

    @pytest.mark.parametrize("name", GETTERS)
    def test_renamed_features_raise(self, model, name):
        model.adata.var_names = ["S" + v if v < "gene3" else v for v in model.adata.var_names]
        message = "`var_names`: 5 features were renamed or removed: 'gene0'.*instead: 'Sgene0'"
        with pytest.raises(ValueError, match=message):
            GETTERS[name](model)

    def test_removed_features_raise(self, model):
        model.adata._inplace_subset_var(np.arange(9))
        with pytest.raises(ValueError, match="`var_names`: 3 features were renamed or removed"):
            model.get_latent_representation()

    def test_reordered_features_and_cells(self, model):
        z = model.get_latent_representation()
        model.adata._inplace_subset_var(np.arange(12)[::-1])
        np.testing.assert_array_equal(model.get_latent_representation(), z)
        model.adata._inplace_subset_obs(np.arange(60)[::-1])
        np.testing.assert_array_equal(model.get_latent_representation(), z[::-1])

    def test_changed_batches_are_followed(self, model, caplog):
        before = model.get_covariate_representation("batch")
        is_other = np.arange(60) < 20
        batch = model.adata.obs["batch"].to_numpy().copy()
        model.adata.obs["batch"] = np.where(is_other, "b1", batch)
        moved = is_other & (batch == "b0")
        after = model.get_covariate_representation("batch")
        np.testing.assert_array_equal(after[~moved], before[~moved])
        assert (np.abs(after - before).max(1)[moved] > 1e-3).all()
        fresh = model.get_covariate_representation("batch", model.adata.copy())
        np.testing.assert_allclose(after, fresh, atol=1e-4)
        assert any("covariates of 10 cells were changed" in r.getMessage() for r in caplog.records)

    def test_copies_with_other_batches_are_new_cells(self, model):
        other = model.adata.copy()
        other.obs["batch"] = "b1"
        is_same = (model.adata.obs["batch"] == "b1").to_numpy()
        moved = np.abs(
            model.get_covariate_representation("batch", other)
            - model.get_covariate_representation("batch")
        ).max(1)
        assert (moved[is_same] == 0).all() and (moved[~is_same] > 1e-3).all()

    def test_new_and_missing_categories_raise(self, model):
        batch = model.adata.obs["batch"].copy()
        model.adata.obs["batch"] = batch.replace("b1", "b9")
        with pytest.raises(ValueError, match="`batch_key`: 'b9' of"):
            model.get_latent_representation()
        del model.adata.obs["batch"]
        with pytest.raises(ValueError, match="`batch_key`: 'batch' is not a column"):
            model.get_latent_representation()
        model.adata.obs["batch"] = batch.astype("category")
        assert np.isfinite(model.get_latent_representation()).all()

    def test_registrations_by_other_models_have_no_effect(self, model):
        truth = model.adata_manager.create_torch_dataset().covariates
        model.adata.obs["plate"] = np.resize(["p", "q", "r"], 60)
        MultiDGD.setup_anndata(model.adata, batch_key="plate")
        MultiDGD(model.adata, n_latent=3)
        np.testing.assert_array_equal(
            model._manager_of(None).create_torch_dataset().covariates, truth
        )

    def test_assigned_data(self, model, tmp_path):
        z = model.get_latent_representation()
        model.adata = model.adata.copy()
        model.save(tmp_path / "model", save_anndata=True)
        for other in (copy.deepcopy(model), MultiDGD.load(tmp_path / "model")):
            np.testing.assert_array_equal(other.get_latent_representation(), z)

    def test_training_continues_on_changed_counts(self, model):
        model.adata.X.data += 1
        model.train(max_epochs=1, enable_progress_bar=False, accelerator="cpu")
        z = model.get_latent_representation()
        np.testing.assert_array_equal(model.get_latent_representation(model.adata.copy()), z)
        model.adata.X.data -= 1
        with pytest.raises(ValueError, match="counts of 60 cells were changed"):
            model.get_latent_representation()

    def test_data_changed_between_setup_and_training(self):
        adata = toy_adata()
        MultiDGD.setup_anndata(adata, batch_key="batch")
        model = MultiDGD(adata, n_latent=3)
        adata.X.data[0] = -1
        with pytest.raises(ValueError, match="`X` contains negative values"):
            model.train(max_epochs=1)

    def test_unrelated_cells_with_the_same_names_are_new_cells(self, model, tmp_path):
        model.save(tmp_path / "model")
        other = toy_adata(60, seed=9, rate=4)
        loaded = MultiDGD.load(tmp_path / "model", adata=other)
        first = loaded.get_latent_representation()
        other.X.data += 1
        assert np.abs(loaded.get_latent_representation() - first).max() > 1e-4

    def test_counts_changed_after_loading_raise(self, model, tmp_path):
        model.save(tmp_path / "model", save_anndata=True)
        loaded = MultiDGD.load(tmp_path / "model")
        np.testing.assert_array_equal(
            loaded.get_latent_representation(), model.get_latent_representation()
        )
        loaded.adata.X.data += 1
        with pytest.raises(ValueError, match="counts of 60 cells were changed"):
            loaded.get_latent_representation()


class TestQueries:
    @pytest.mark.parametrize("change", [add_one, swap_cells])
    @pytest.mark.parametrize("kind", [sp.csr_matrix, sp.csc_matrix, sp.csr_matrix.toarray])
    def test_changed_counts(self, trained, query, change, kind):
        query.X = kind(query.X)
        before = answers(trained, query)
        x = sp.csr_matrix(query.X)
        change(x)
        if sp.issparse(query.X):
            query.X.data[:] = x.asformat(query.X.format).data[: query.X.nnz]
        else:
            query.X[:] = x.toarray()
        again, fresh = answers(trained, query), answers(trained, query.copy())
        for one, other in zip(again, fresh, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)
        assert np.abs(again[0] - before[0]).max() > 1e-3

    @pytest.mark.parametrize("column", ["batch", "age"])
    def test_changed_columns(self, trained, query, column):
        before = answers(trained, query)
        query.obs[column] = query.obs[column].to_numpy()[::-1]
        again, fresh = answers(trained, query), answers(trained, query.copy())
        for one, other in zip(again, fresh, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)
        assert np.abs(again[2] - before[2]).max() > 1e-5

    def test_renamed_features(self, trained, query):
        trained.get_latent_representation(query)
        query.var_names = [v.replace("gene1", "other") for v in query.var_names]
        z = trained.get_latent_representation(query)
        np.testing.assert_allclose(z, trained.get_latent_representation(query.copy()), atol=1e-4)
        query.var_names = [f"S{v}" for v in query.var_names]
        with pytest.raises(ValueError, match="0 of the model's 12 features"):
            trained.get_latent_representation(query)

    def test_changed_mudata(self):
        model = fitted(toy_mudata(40, rate=4), batch_key="batch")
        query = renamed_mudata(toy_mudata(20, rate=4), "new")
        before = model.get_latent_representation(query)
        query["atac"].X.data += 3
        again = model.get_latent_representation(query)
        np.testing.assert_allclose(again, model.get_latent_representation(query.copy()), atol=1e-4)
        assert np.abs(again - before).max() > 1e-3
        query["rna"]._inplace_subset_obs(np.arange(10))
        with pytest.raises(ValueError, match=r"Modality 'rna'.*mdata.update\(\)"):
            model.get_latent_representation(query)

    def test_views_of_backed_objects(self, trained, query, tmp_path):
        query.write_h5ad(tmp_path / "query.h5ad")
        import anndata as ad

        backed = ad.read_h5ad(tmp_path / "query.h5ad", backed="r")
        np.testing.assert_allclose(
            trained.get_latent_representation(backed[3:9]),
            trained.get_latent_representation(query)[3:9],
            atol=1e-4,
        )
        backed.file.close()

    def test_large_matrices_are_sampled_with_the_cells_asked_for(
        self, trained, query, monkeypatch
    ):
        monkeypatch.setattr("multiDGD.data._checksum._MAX_BYTES", 0)
        monkeypatch.setattr("multiDGD.data._checksum._N_BLOCKS", 1)
        monkeypatch.setattr("multiDGD.data._checksum._BLOCK_BYTES", 4)
        before = trained.get_latent_representation(query)
        changed = query.X.data[query.X.indptr[20] :]  # outside of the sample
        changed *= np.resize([1, 9, 1], len(changed))
        again = trained.get_latent_representation(query, indices=[25, 2])
        assert np.abs(again[0] - before[25]).max() > 1e-4
        np.testing.assert_allclose(again[1], before[2], atol=1e-4)


class TestCache:
    def test_filtered_cells_are_not_inferred_again(self, trained, query, monkeypatch):
        z = trained.get_latent_representation(query)
        query._inplace_subset_obs(np.arange(20)[::-1])
        monkeypatch.setattr("multiDGD.model.core._representations.infer_representations", None)
        np.testing.assert_array_equal(trained.get_latent_representation(query), z[:20][::-1])

    def test_only_changed_cells_are_inferred_again(self, trained, query, monkeypatch):
        trained.get_latent_representation(query)
        query.X.data[0] += 1
        inferred = []
        infer = trained._infer
        monkeypatch.setattr(
            trained, "_infer", lambda m, cells, *a: inferred.append(cells) or infer(m, cells, *a)
        )
        trained.get_latent_representation(query)
        assert [list(cells) for cells in inferred] == [[0]]

    def test_changed_parameters(self, model, query):
        before = model.get_latent_representation(query)
        version = parameters_version(model.module)
        weight = next(iter(model.module.decoder.parameters()))
        weight.data.mul_(2)
        assert parameters_version(model.module) != version
        after = model.get_latent_representation(query)
        assert np.abs(after - before).max() > 1e-4
        np.testing.assert_allclose(model.get_latent_representation(query.copy()), after, atol=1e-4)

    def test_the_table_of_representations_is_not_part_of_the_version(self, model):
        version = parameters_version(model.module)
        model.module.representations.z.data.add_(1)
        assert parameters_version(model.module) == version

    def test_further_training(self, model, query):
        before = model.get_latent_representation(query)
        model.train(max_epochs=2, enable_progress_bar=False, accelerator="cpu")
        after = model.get_latent_representation(query)
        assert np.abs(after - before).max() > 1e-4

    def test_copies_and_pickles_are_empty(self, trained, query):
        trained.get_latent_representation(query)
        cache = trained._inferred_cache
        assert len(cache._entries)
        for other in (copy.deepcopy(cache), copy.copy(cache), pickle.loads(pickle.dumps(cache))):
            assert isinstance(other, RepresentationCache) and not len(other._entries)

    def test_threads_infer_each_cell_once(self, trained, query, monkeypatch):
        inferred = []
        infer = trained._infer
        monkeypatch.setattr(
            trained, "_infer", lambda m, cells, *a: inferred.extend(cells) or infer(m, cells, *a)
        )
        manager = trained._manager_of(query)
        threads = [
            threading.Thread(target=trained._representation, args=(manager, None, None))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(inferred) == list(range(30))


def test_query_models_follow_their_data(trained, query):
    query.obs["batch"] = np.resize(["b0", "p"], 30)
    model = load(query, trained)
    before = model.get_covariate_representation("batch")
    query.obs["batch"] = np.resize(["p", "b0"], 30)
    after = model.get_covariate_representation("batch")
    assert np.abs(after - before).max() > 1e-4
    query.obs["batch"] = "q"
    with pytest.raises(ValueError, match="`batch_key`: 'q'"):
        model.get_latent_representation()
