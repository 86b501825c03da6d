"""Colours, categories and legends of cells, as in scanpy."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from matplotlib.colors import to_hex
from tests.toy import toy_adata, toy_mudata

from multiDGD.pl._scatter import (
    Coloring,
    as_categories,
    default_colors,
    default_size,
    draw_cells,
    palette,
)


@pytest.mark.parametrize("n", [2, 20, 29, 102])
def test_default_colors_equal_those_of_scanpy(n):
    adata = sc.AnnData(np.zeros((n, 1), np.float32))
    adata.obs["group"] = pd.Categorical([f"{i:03}" for i in range(n)])
    adata.obsm["X_two"] = np.zeros((n, 2))
    sc.pl.embedding(adata, "two", color="group", show=False)
    expected = [to_hex(c) for c in adata.uns["group_colors"]]
    assert [to_hex(c) for c in default_colors(n)] == expected


def test_no_pale_colors_for_21_to_28_categories():
    assert default_colors(21) == default_colors(102)[:21]


def test_more_categories_than_colors():
    assert len(default_colors(150)) == 150


def test_colors_of_a_modality():
    mdata = toy_mudata()
    mdata["rna"].uns["kind_colors"] = ["#010101", "#020202"]
    for key in ("kind", "rna:kind"):
        found = palette(mdata, key, pd.Index(["a", "b"]))
        assert found == {"a": "#010101", "b": "#020202"}


@pytest.mark.parametrize("colors", [["#010101"], ["no colour", "#020202"]])
def test_invalid_colors_are_ignored(colors):
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


def test_points_shrink_with_the_number_of_cells():
    assert default_size(10) == 25 and default_size(100_000) == pytest.approx(1.2)


@pytest.mark.parametrize("n", [1, 14, 15, 30, 60, 100, 300])
def test_legend_fits_into_the_figure(n):
    names = pd.Series([f"cluster {i}" for i in range(n)])
    coloring = Coloring.by(names, "cluster")
    figure, ax = plt.subplots(figsize=coloring.figure_size, layout="constrained")
    draw_cells(ax, np.zeros((n, 2)), coloring)
    figure.draw_without_rendering()
    legend = ax.get_legend().get_window_extent()
    assert figure.bbox.y0 <= legend.y0 and legend.y1 <= figure.bbox.y1
    assert ax.get_window_extent().x1 <= legend.x0 and legend.x1 <= figure.bbox.x1
    assert len(ax.get_legend().get_texts()) == n
    assert ax.get_legend().get_title().get_text() == "cluster"
    assert ax.get_window_extent().height > 0.7 * figure.bbox.height


def test_booleans_with_missing_values_are_categories():
    values = pd.Series(pd.array([True, False, None], dtype="boolean"))
    coloring = Coloring.by(values, "is_doublet")
    assert coloring.present == ["False", "True"]


def test_infinite_numbers_do_not_affect_the_colour_scale():
    _, ax = plt.subplots()
    values = pd.Series([-np.inf, *range(101), np.inf])
    draw_cells(ax, np.zeros((103, 2)), Coloring.by(values, "log_counts"))
    np.testing.assert_allclose(ax.collections[-1].get_clim(), (1, 99))
