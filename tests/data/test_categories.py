"""Encoding of categories, and covariates of query objects."""

import mudata as md
import numpy as np
import pandas as pd
import pytest
from tests.toy import toy_adata, toy_mudata

from multiDGD import MultiDGD
from multiDGD.data import find_categories, summarize_registry
from multiDGD.data._categories import add_categories, encode_categories


def manager_of(data, **setup):
    method = MultiDGD.setup_mudata if isinstance(data, md.MuData) else MultiDGD.setup_anndata
    method(data, **setup)
    return MultiDGD._get_most_recent_anndata_manager(data, required=True)


@pytest.mark.parametrize(
    ("values", "categories", "codes", "unknown"),
    [
        (["b", "a", "b"], ["a", "b"], [1, 0, 1], []),
        (["1", "0"], [0, 1], [1, 0], []),
        ([1, 0], ["0", "1"], [1, 0], []),
        ([1.0, 0.0], [0, 1], [1, 0], []),
        (["z", "a", "y", "z"], ["a"], [-1, 0, -1, -1], ["y", "z"]),
        (["1"], [1, "1"], [1], []),
        (["1.0", "0"], [0, 1], [1, 0], []),
        ([1, 0], ["0.0", "1.0"], [1, 0], []),
        (["01"], ["1"], [-1], ["01"]),
        ([True, False], ["False", "True"], [1, 0], []),
        (["TRUE", "false"], [False, True], [1, 0], []),
        ([1, 0], [False, True], [1, 0], []),
        ([True], ["true", "1"], [-1], [True]),
        ([b"a", b"c"], ["a", "b"], [0, -1], [b"c"]),
        (["a"], [b"a"], [0], []),
        ([0.5], ["0.5"], [0], []),
        ([None, "a", np.nan], ["a", "nan"], [-1, 0, -1], []),
    ],
)
def test_categories_match_across_types(values, categories, codes, unknown):
    found, rest = find_categories(pd.Series(values), np.array(categories, dtype=object))
    assert list(found) == codes
    assert list(rest) == unknown


@pytest.mark.parametrize("kind", [str, int, float, "category", "Int64", "string"])
def test_types_of_columns(kind):
    values = pd.Series([1, 0, 1]).astype(kind)
    for categories in ([0, 1], [0.0, 1.0], ["0", "1"]):
        codes, rest = find_categories(values, np.array(categories))
        assert list(codes) == [1, 0, 1] and not len(rest)


def test_bytes_become_text():
    codes, categories = encode_categories(pd.Series([b"b", b"a", None]))
    assert list(codes) == [1, 0, -1]
    assert list(categories) == ["a", "b"]


@pytest.mark.parametrize(
    ("known", "new", "extended"),
    [
        (["d0"], [7, 8], ["d0", "7", "8"]),
        (["d0"], [7.0, 0.5], ["d0", "0.5", "7"]),
        ([0, 1], [2, 1], [0, 1, 2]),
        ([0, 1], [2.0], ["0", "1", "2"]),
        ([0, 1], ["d0"], ["0", "1", "d0"]),
        ([False, True], ["x"], ["False", "True", "x"]),
        (["a"], [b"b", "b"], ["a", "b"]),
    ],
)
def test_appended_categories_have_one_type(known, new, extended):
    values = pd.Series(new, dtype=object)
    codes, categories, n_new = add_categories(values, np.array(known))
    assert list(categories) == extended
    assert n_new == len(extended) - len(known)
    assert (codes >= 0).all()


def test_empty_categories_are_dropped():
    values = pd.Series(pd.Categorical(["b", "a"], categories=["c", "b", "a"]))
    codes, categories = encode_categories(values)
    assert list(categories) == ["b", "a"]
    assert list(codes) == [0, 1]


class TestNewCategories:
    @pytest.fixture
    def manager(self):
        return manager_of(toy_mudata(), batch_key="batch", categorical_covariate_keys=["site"])

    def test_new_categories_follow_the_known_ones(self, manager):
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
        # A second transfer of the registry keeps the number of added categories.
        again = toy_mudata(20)
        second = transferred.transfer_fields(again)
        assert summarize_registry(second.registry).n_added == summary.n_added

    def test_new_categories_raise_before_the_query_is_modified(self, manager):
        query = toy_mudata(20)
        query.obs["site"] = "w"
        with pytest.raises(ValueError, match="`categorical_covariate_keys`: 'w'.*load_query_data"):
            manager.transfer_fields(query)
        assert not any(column.startswith("_scvi") for column in query.obs)

    def test_training_data_add_no_categories(self, manager):
        assert manager.summary.n_added == {"batch": 0, "site": 0}


def test_invalid_continuous_covariates_raise():
    manager = manager_of(toy_adata(), continuous_covariate_keys=["age"])
    query = toy_adata(20)
    query.obs["age"] = "old"
    with pytest.raises(ValueError, match="'age' is not numeric"):
        manager.transfer_fields(query)
    del query.obs["age"]
    with pytest.raises(ValueError, match="`continuous_covariate_keys`: 'age'"):
        manager.transfer_fields(query)
