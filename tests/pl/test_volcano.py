"""Volcano plots of differential expression."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from multiDGD import pl


def groups(ax):
    """Points by legend entry."""
    return {
        c.get_label().split(" (")[0]: np.asarray(c.get_offsets())
        for c in ax.collections
    }  # fmt: skip


def test_positions_of_points(differential):
    table = differential[differential["comparison"] == "B vs Rest"]
    ax = pl.volcano(differential, "B vs Rest", n_labels=0)
    least = table["lfdr"][table["lfdr"] > 0].min()
    height = -np.log10(table["lfdr"].clip(lower=least))
    is_de, lfc = table["is_de_fdr_0.05"], table["lfc_mean"]
    found = groups(ax)
    for name, which in (
        ("not differential", ~is_de),
        ("lower", is_de & (lfc < 0)),
        ("higher", is_de & (lfc > 0)),
    ):
        assert which.sum() > 5
        expected = np.stack([lfc[which], height[which]], axis=1)
        np.testing.assert_allclose(found[name], expected, atol=1e-12)
    assert ax.get_title() == "B vs Rest"
    assert ax.get_xlabel() == "log2 fold change"
    assert ax.get_legend().get_title().get_text() == "FDR 0.05"
    entries = [t.get_text() for t in ax.get_legend().get_texts()]
    assert entries[0] == f"not differential ({(~is_de).sum()})"
    low, high = ax.get_xlim()
    assert low == -high and high > lfc.abs().max()
    assert ax.get_ylim()[1] > height.max() and not ax.texts


def test_rates_of_zero_are_drawn_at_the_smallest_positive_rate(differential):
    comparison = differential.loc[differential["lfdr"] == 0, "comparison"].iloc[0]
    ax = pl.volcano(differential, comparison, n_labels=0)
    table = differential[differential["comparison"] == comparison]
    heights = np.concatenate([g[:, 1] for g in groups(ax).values()])
    assert np.isfinite(heights).all()
    assert heights.max() == pytest.approx(-np.log10(table["lfdr"][table["lfdr"] > 0].min()))


def test_rates_rounded_to_zero_follow_from_bayes_factors(differential):
    """Distinct features would otherwise form a flat line at the top."""
    table = differential[differential["comparison"] == "B vs Rest"].copy()
    table["bayes_factor"] = np.log(1 / table["lfdr"].clip(lower=1e-9) - 1)
    top = table["lfdr"].nsmallest(3).index
    table.loc[top, "lfdr"] = 0.0
    table.loc[top, "bayes_factor"] = [800.0, 900.0, 1500.0]
    found = groups(pl.volcano(table, n_labels=0))
    heights = np.sort(np.concatenate([g[:, 1] for g in found.values()]))
    np.testing.assert_allclose(heights[-3:], np.array([800, 900, 1500]) / np.log(10))
    rest = table.loc[table["lfdr"] > 0, "lfdr"]
    np.testing.assert_allclose(heights[:-3], np.sort(-np.log10(rest)))
    # Bayes factors of other models are those of rounded probabilities.
    theirs = pl.volcano(table.assign(proba_de=1 - table["lfdr"]).drop(columns="lfdr"))
    assert theirs.get_ylim()[1] < 10


def test_both_sides_are_labelled(multiome):
    table = multiome.differential_expression(
        groupby="cell_type", group1="CD14+ Mono", group2="Erythroblast", silent=True
    )
    ax = pl.volcano(table)
    lfc = table["lfc_mean"][[t.get_text() for t in ax.texts]]
    assert (lfc > 0).sum() >= 8 and (lfc < 0).sum() >= 8
    boxes = [Text.get_window_extent(t) for t in ax.texts]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    (rings,) = ax.get_lines()
    assert len(rings.get_xdata()) == 20
    figure = ax.figure
    legend = ax.get_legend().get_window_extent()
    assert ax.get_window_extent().x1 <= legend.x0 and legend.x1 <= figure.bbox.x1


def test_labels_of_significant_features_do_not_overlap(differential):
    ax = pl.volcano(differential, "T vs Rest", n_labels=12)
    table = differential[differential["comparison"] == "T vs Rest"]
    named = [t.get_text() for t in ax.texts]
    called = table[table["is_de_fdr_0.05"]].sort_values("lfdr")
    lower = called.index[called["lfc_mean"] < 0][:6]
    higher = called.index[called["lfc_mean"] >= 0][: 12 - len(lower)]
    assert set(named) <= {*lower, *higher} and len(named) > 8
    boxes = [Text.get_window_extent(t) for t in ax.texts]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    frame = ax.get_window_extent()
    de = np.concatenate([groups(ax)["lower"], groups(ax)["higher"]])
    pixels = ax.transData.transform(de)
    for box in boxes:
        assert frame.x0 < box.x0 and box.x1 < frame.x1
        assert frame.y0 < box.y0 and box.y1 < frame.y1
        assert box.count_contains(pixels) == 0


def test_labels_are_the_largest_certain_effects_of_both_sides():
    table = pd.DataFrame(
        {
            "lfc_mean": [5.0, 4.0, 3.0, -6.0, -2.0, -1.0],
            "lfc_bound": [0.5, 3.0, 2.5, -0.4, -1.5, -0.5],
            "lfdr": [1e-3, 1e-9, 1e-20, 1e-4, 1e-12, 1e-8],
            "is_de_fdr_0.05": True,
        },
        index=["noisy", "first", "second", "rare", "lower", "other"],
    )
    assert {t.get_text() for t in pl.volcano(table, n_labels=4).texts} == {
        "first",
        "second",
        "lower",
        "other",
    }


def test_only_differential_features_are_labelled(differential):
    table = differential[differential["comparison"] == "B vs Rest"].copy()
    table["is_de_fdr_0.05"] = False
    table.loc[["GENE3"], "is_de_fdr_0.05"] = True
    assert [t.get_text() for t in pl.volcano(table).texts] == ["GENE3"]


def test_tables_of_other_models(differential):
    """Tables of scvi-tools have the probability of a change, but no local rate."""
    one = differential[differential["comparison"] == "B vs Rest"]
    ours = groups(pl.volcano(one, n_labels=0))
    theirs = groups(pl.volcano(one.drop(columns="lfdr"), n_labels=0))
    for name, points in ours.items():
        np.testing.assert_allclose(theirs[name], points, atol=1e-6)


@pytest.mark.parametrize("column", ["lfc_mean", "lfdr", "proba_de"])
def test_features_with_missing_values_are_left_out(differential, column):
    table = differential[differential["comparison"] == "B vs Rest"].copy()
    if column == "proba_de":
        table = table.drop(columns="lfdr")
    whole = table.iloc[3:]
    table.iloc[:3, table.columns.get_loc(column)] = np.nan
    found = pl.volcano(table)
    expected = pl.volcano(whole)
    for name, points in groups(expected).items():
        np.testing.assert_array_equal(groups(found)[name], points)
    assert found.get_xlim() == expected.get_xlim()
    assert [t.get_text() for t in found.texts] == [t.get_text() for t in expected.texts]
    with pytest.raises(ValueError, match="`table` has 100 features, none with a finite fold"):
        pl.volcano(table.assign(**{column: np.nan}))


@pytest.mark.parametrize("method", ["differential_expression", "differential_accessibility"])
def test_tables_of_a_trained_model(multiome, method):
    table = getattr(multiome, method)(
        groupby="cell_type", group1="CD14+ Mono", group2="Erythroblast", silent=True
    )
    ax = pl.volcano(table, n_labels=5)
    assert ax.get_title() == "CD14+ Mono vs Erythroblast"
    found = groups(ax)
    is_de = table.filter(regex="^is_d").iloc[:, 0].astype(bool)
    assert len(found["lower"]) + len(found["higher"]) == is_de.sum() > 0
    assert sum(map(len, found.values())) == len(table) == 600
    assert {t.get_text() for t in ax.texts} <= set(table.index[is_de])
    lfdr = table["lfdr"].clip(lower=table["lfdr"][table["lfdr"] > 0].min())
    expected = np.stack([table["lfc_mean"], -np.log10(lfdr)], axis=1)[
        (is_de & (table["lfc_mean"] < 0))
    ]
    np.testing.assert_allclose(found["lower"], expected, rtol=1e-6)
    assert ax.get_legend().get_title().get_text() == (
        "FDR 0.05" if method == "differential_expression" else ""
    )


def test_modalities_have_symbols(differential):
    table = differential[differential["comparison"] == "B vs Rest"].copy()
    table["modality"] = np.where(np.arange(len(table)) % 4, "rna", "prot")
    ax = pl.volcano(table, n_labels=0)
    entries = [t.get_text() for t in ax.get_legend().get_texts()]
    assert entries[-2:] == list(pd.unique(table["modality"]))
    n_points = [len(c.get_offsets()) for c in ax.collections]
    assert sum(n_points) == len(table) and sorted(n_points)[:2] == [0, 0]
    paths = {c.get_paths()[0].vertices.shape for c in ax.collections}
    assert len(paths) == 2
    # A single modality has one symbol and no entry.
    one = pl.volcano(table.assign(modality="rna"), n_labels=0)
    assert len(one.get_legend().get_texts()) == 3


def test_most_informative_features_are_labelled(differential):
    table = differential[differential["comparison"] == "B vs Rest"].copy()
    called = table.index[table["is_de_fdr_0.05"] & (table["lfc_mean"] > 0)]
    table["information"] = 0.0
    table.loc[called[-1], "information"] = 5.0
    labels = [t.get_text() for t in pl.volcano(table, n_labels=2).texts]
    assert called[-1] in labels


def test_errors(differential):
    with pytest.raises(ValueError, match="`comparison` is required: choose one of 2"):
        pl.volcano(differential)
    with pytest.raises(ValueError, match=r"`comparison`: 'B vs rest' .*'B vs Rest'"):
        pl.volcano(differential, "B vs rest")
    with pytest.raises(
        ValueError, match=r"`table` is missing the columns \['lfc_mean'\].*differential"
    ):
        pl.volcano(differential.drop(columns="lfc_mean"))
    with pytest.raises(ValueError, match=r"missing the columns \['proba_de'\]"):
        pl.volcano(differential.drop(columns=["lfdr", "proba_de"]), "B vs Rest")
    with pytest.raises(ValueError, match="has no column 'comparison'"):
        pl.volcano(differential.drop(columns="comparison"), "B vs Rest")
    with pytest.raises(ValueError, match="has no rows"):
        pl.volcano(differential.iloc[:0])
    with pytest.raises(TypeError, match="`table` must be a table returned by .* found list"):
        pl.volcano([1, 2])
    with pytest.raises(ValueError, match="`n_labels` must be an integer of at least 0"):
        pl.volcano(differential, "B vs Rest", n_labels=-1)
    assert not plt.get_fignums()
