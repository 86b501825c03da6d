"""Labels of any type, and spellings of missing ones."""

import logging

import numpy as np
import pandas as pd
import pytest
from tests.data.test_categories import manager_of
from tests.toy import toy_adata, toy_mudata

from multiDGD import MultiDGD


def warnings_of(data, caplog, **setup):
    with caplog.at_level(logging.WARNING, logger="scvi"):
        manager = manager_of(data, labels_key="label", **setup)
    return manager, [r.getMessage() for r in caplog.records]


@pytest.mark.parametrize("spelling", ["Unknown", "nan", "NA", "None", "Unassigned", "", "<NA>"])
@pytest.mark.parametrize("make", [toy_adata, toy_mudata])
def test_spellings_of_unknown_warn(make, spelling, caplog):
    data = make()
    data.obs["label"] = data.obs["label"].replace("B", spelling)
    manager, (text,) = warnings_of(data, caplog)
    assert f"{spelling!r} (13 cells)" in text
    assert f"`unlabeled_category={spelling!r}`" in text
    assert len(manager.summary.labels) == 3
    caplog.clear()
    manager, texts = warnings_of(data, caplog, unlabeled_category=spelling)
    assert not texts and list(manager.summary.labels) == ["A", "C"]


def test_several_spellings(caplog):
    adata = toy_adata()
    adata.obs["label"] = adata.obs["label"].replace({"B": "NA", "C": "unassigned"})
    _, (text,) = warnings_of(adata, caplog)
    assert "'NA' (13 cells), 'unassigned' (13 cells)" in text
    assert "make the others missing" in text


def test_missing_and_unknown_labels_do_not_warn(caplog):
    adata = toy_adata()
    adata.obs["label"] = pd.Categorical(adata.obs["label"].replace({"B": None, "C": "unknown"}))
    manager, texts = warnings_of(adata, caplog)
    assert not texts
    assert list(manager.create_torch_dataset().labels[:3]) == [0, -1, -1]


def test_the_advice_for_mixed_types_keeps_missing_labels():
    adata = toy_adata()
    adata.obs["label"] = [None] * 5 + [3] * 5 + ["A"] * 30
    with pytest.raises(ValueError, match=r"obs\['label'\].map\(str, na_action='ignore'\)"):
        MultiDGD.setup_anndata(adata, labels_key="label")
    adata.obs["label"] = adata.obs["label"].map(str, na_action="ignore")
    manager = manager_of(adata, labels_key="label")
    assert list(manager.summary.labels) == ["3", "A"]
    assert list(manager.create_torch_dataset().labels[[0, 5, 10]]) == [-1, 0, 1]


@pytest.mark.parametrize("kind", [int, float, str, "category", np.bytes_])
@pytest.mark.parametrize("known", [int, float, str])
def test_labels_match_across_types(kind, known):
    def cells(kind):
        adata = toy_adata()
        numbers = pd.Series(np.arange(40) % 3, index=adata.obs_names)
        is_bytes = kind is np.bytes_
        adata.obs["label"] = (
            numbers.astype(str).str.encode("ascii") if is_bytes else numbers.astype(kind)
        )
        return adata

    manager = manager_of(cells(known), labels_key="label")
    found = manager.transfer_fields(cells(kind)).create_torch_dataset().labels
    np.testing.assert_array_equal(found, np.arange(40) % 3)


def test_the_unlabelled_category_matches_across_types():
    adata = toy_adata()
    adata.obs["label"] = np.arange(40) % 3 - 1
    manager = manager_of(adata, labels_key="label", unlabeled_category="-1")
    assert list(manager.summary.labels) == [0, 1]


@pytest.mark.parametrize(
    "setup",
    [
        {"labels_key": "twice"},
        {"batch_key": "twice"},
        {"categorical_covariate_keys": ["twice"]},
        {"continuous_covariate_keys": ["twice"]},
    ],
)
def test_columns_that_exist_twice_raise(setup):
    adata = toy_adata()
    adata.obs["twice"] = adata.obs["also"] = 1
    adata.obs.columns = [c.replace("also", "twice") for c in adata.obs.columns]
    (argument,) = setup
    with pytest.raises(ValueError, match=f"`{argument}`: 2 columns of `obs` are named 'twice'"):
        MultiDGD.setup_anndata(adata, **setup)
