"""Colours and categories as scanpy has them."""

import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from matplotlib.colors import to_hex
from tests.toy import toy_adata, toy_mudata

from multiDGD.pl._cells import as_categories, default_colors, default_size, palette


@pytest.mark.parametrize("n", [2, 20, 21, 28, 29, 102])
def test_default_colors_are_those_that_scanpy_would_set(n):
    adata = sc.AnnData(np.zeros((n, 1), np.float32))
    adata.obs["group"] = pd.Categorical([f"{i:03}" for i in range(n)])
    adata.obsm["X_two"] = np.zeros((n, 2))
    sc.pl.embedding(adata, "two", color="group", show=False)
    expected = [to_hex(c) for c in adata.uns["group_colors"]]
    assert [to_hex(c) for c in default_colors(n)] == expected


def test_more_categories_than_colors():
    assert len(default_colors(150)) == 150


def test_colors_of_a_modality():
    mdata = toy_mudata()
    mdata["rna"].uns["kind_colors"] = ["#010101", "#020202"]
    for key in ("kind", "rna:kind"):
        found = palette(mdata, key, pd.Index(["a", "b"]))
        assert found == {"a": "#010101", "b": "#020202"}


@pytest.mark.parametrize("colors", [["#010101"], ["no colour", "#020202"]])
def test_colors_that_do_not_fit_are_not_used(colors):
    adata = toy_adata()
    adata.uns["kind_colors"] = colors
    found = palette(adata, "kind", pd.Index(["a", "b"]))
    assert list(found.values()) == default_colors(2)


def test_categories_are_sorted_unless_they_have_an_order():
    assert list(as_categories(pd.Series(["b", "a", None])).cat.categories) == ["a", "b"]
    ordered = pd.Series(pd.Categorical(["b", "a"], categories=["b", "a", "c"]))
    assert list(as_categories(ordered).cat.categories) == ["b", "a", "c"]
    numbers = pd.Series(pd.Categorical([10, 9]))
    assert list(as_categories(numbers).cat.categories) == ["9", "10"]


def test_points_shrink_with_cells():
    assert default_size(10) == 25 and default_size(100_000) == pytest.approx(1.2)
