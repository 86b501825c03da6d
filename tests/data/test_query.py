"""Objects that are held against a trained model."""

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
from tests.toy import toy_adata, toy_mudata

from multiDGD import MultiDGD
from multiDGD.data import (
    check_features,
    find_categories,
    observed_features,
    summarize_registry,
)
from multiDGD.data._categories import present_categories

FEATURES = {"rna": np.array(["a", "b", "c", "d"]), "atac": np.array(["x", "y"])}


def adata_with(names):
    found = ad.AnnData(np.ones((3, len(names)), np.float32))
    found.var_names = list(names)
    return found


def manager_of(data, **setup):
    method = MultiDGD.setup_mudata if isinstance(data, md.MuData) else MultiDGD.setup_anndata
    method(data, **setup)
    return MultiDGD._get_most_recent_anndata_manager(data, required=True)


def test_observed_features_are_found_by_name():
    one = observed_features(adata_with("yca?"), FEATURES)
    assert {m: list(p) for m, p in one.items()} == {"rna": [0, 2], "atac": [1]}
    mdata = md.MuData({"prot": adata_with("ab"), "rna": adata_with("dx")})
    assert {m: list(p) for m, p in observed_features(mdata, FEATURES).items()} == {"rna": [3]}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (adata_with("ABCD"), "0 of the model's 6 .*'a', 'b', 'c', .*'A', 'B', 'C', "),
        (md.MuData({"GEX": adata_with("ab")}), "0 of the model's 6 .*'GEX' with 'a', 'b'"),
        (
            md.MuData({"rna": adata_with("ABCD"), "atac": adata_with("xy")}),
            "0 of the model's 4 features of modality 'rna'.*'A', 'B', 'C'",
        ),
    ],
)
def test_nothing_shared(data, message):
    with pytest.raises(ValueError, match=message):
        check_features(data, FEATURES)


@pytest.mark.parametrize(
    ("values", "categories", "codes", "unknown"),
    [
        (["b", "a", "b"], ["a", "b"], [1, 0, 1], []),
        (["1", "0"], [0, 1], [1, 0], []),
        ([1, 0], ["0", "1"], [1, 0], []),
        ([1.0, 0.0], [0, 1], [1, 0], []),
        (["z", "a", "y", "z"], ["a"], [-1, 0, -1, -1], ["y", "z"]),
        (["1"], [1, "1"], [1], []),
    ],
)
def test_categories_are_found_however_they_are_written(values, categories, codes, unknown):
    found, rest = find_categories(pd.Series(values), np.array(categories, dtype=object))
    assert list(found) == codes
    assert list(rest) == unknown


def test_categories_without_cells_are_none():
    values = pd.Series(pd.Categorical(["b", "a"], categories=["c", "b", "a"]))
    codes, categories = present_categories(values)
    assert list(categories) == ["b", "a"]
    assert list(codes) == [0, 1]


class TestNewCategories:
    @pytest.fixture
    def manager(self):
        return manager_of(toy_mudata(), batch_key="batch", categorical_covariate_keys=["site"])

    def test_they_come_behind_the_known_ones(self, manager):
        query = toy_mudata(20)
        query.obs["batch"] = np.resize(["b1", "a9"], 20)
        query.obs["site"] = np.resize(["w", "v"], 20)
        transferred = manager.transfer_fields(query, extend_categories=True)
        summary = transferred.summary
        assert list(summary.covariates["batch"]) == ["b0", "b1", "a9"]
        assert list(summary.covariates["site"]) == ["x", "y", "z", "v", "w"]
        assert summary.n_added == {"batch": 1, "site": 2}
        codes = transferred.create_torch_dataset().covariates
        np.testing.assert_array_equal(codes[:2], [[1, 4], [2, 3]])
        # What was added stays counted when the registry is handed on.
        again = toy_mudata(20)
        handed_on = transferred.transfer_fields(again)
        assert summarize_registry(handed_on.registry).n_added == summary.n_added

    def test_they_are_refused_before_anything_is_written(self, manager):
        query = toy_mudata(20)
        query.obs["site"] = "w"
        with pytest.raises(ValueError, match="`categorical_covariate_keys`: 'w'.*load_query_data"):
            manager.transfer_fields(query)
        assert not any(column.startswith("_scvi") for column in query.obs)

    def test_nothing_is_new_in_training(self, manager):
        assert manager.summary.n_added == {"batch": 0, "site": 0}


def test_continuous_covariates_are_checked():
    manager = manager_of(toy_adata(), continuous_covariate_keys=["age"])
    query = toy_adata(20)
    query.obs["age"] = "old"
    with pytest.raises(ValueError, match="'age' is not numeric"):
        manager.transfer_fields(query)
    del query.obs["age"]
    with pytest.raises(ValueError, match="`continuous_covariate_keys`: 'age'"):
        manager.transfer_fields(query)
