"""Heat maps of perturbations."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from multiDGD import pl


def rows(ax):
    return [t.get_text() for t in ax.get_yticklabels()]


def columns(ax):
    return [t.get_text() for t in ax.get_xticklabels()]


def values(ax):
    return np.asarray(ax.images[0].get_array())


def test_largest_changes_of_each_modality(changes):
    ax = pl.perturbation(changes, n_features=6)
    assert len(rows(ax)) == 12
    assert columns(ax) == list(changes["group"].unique())
    for modality, names in (("rna", rows(ax)[:6]), ("atac", rows(ax)[6:])):
        part = changes[changes["modality"] == modality]
        largest = part["lfc"].abs().groupby(part.index).max().nlargest(6)
        assert set(names) == set(largest.index)
        mean = part["lfc"].groupby(part.index).mean()
        assert list(names) == list(mean[names].sort_values(ascending=False).index)
    for i, feature in enumerate(rows(ax)):
        by_group = changes.loc[feature].set_index("group")["lfc"]
        np.testing.assert_allclose(values(ax)[i], by_group[columns(ax)])
    assert [t.get_text() for t in ax.texts] == ["rna", "atac"]
    (separator,) = ax.get_lines()
    assert set(separator.get_ydata()) == {5.5}
    low, high = ax.images[0].get_clim()
    assert low == -high
    assert high == pytest.approx(np.quantile(np.abs(values(ax)), 0.98))


def test_significant_changes_have_dots(changes):
    ax = pl.perturbation(changes, n_features=5, alpha=0.2)
    dots = {tuple(map(int, xy)) for xy in ax.collections[0].get_offsets()}
    expected = {
        (j, i)
        for i, feature in enumerate(rows(ax))
        for j, group in enumerate(columns(ax))
        if changes[changes["group"] == group].loc[feature, "p_value"] <= 0.2
    }
    assert dots == expected and 0 < len(dots) < values(ax).size
    assert ax.get_xlabel() == "dot: p ≤ 0.2"
    limit = ax.images[0].get_clim()[1]
    for (x, y), color in zip(
        ax.collections[0].get_offsets(), ax.collections[0].get_facecolors(), strict=True
    ):
        is_dark = abs(values(ax)[int(y), int(x)]) > 0.6 * limit
        assert to_hex(color) == ("#ffffff" if is_dark else "#000000")


def test_given_features_and_z_scores(changes):
    ax = pl.perturbation(changes, features=["LYZ", "CD14"], value="z_score")
    assert set(rows(ax)) == {"LYZ", "CD14"}
    i = rows(ax).index("LYZ")
    by_group = changes.loc["LYZ"].set_index("group")["z_score"]
    np.testing.assert_allclose(values(ax)[i], by_group[columns(ax)])
    assert ax.figure.axes[1].get_ylabel() == "z-score relative to controls"


def test_several_tables(changes):
    b, t = (
        changes[changes["group"] == g].drop(columns="group") for g in changes["group"].unique()[:2]
    )
    ax = pl.perturbation({"GATA1": b, "SPI1": t}, features=["CD14"])
    assert columns(ax) == ["GATA1", "SPI1"]
    np.testing.assert_allclose(values(ax)[0], [b.loc["CD14", "lfc"], t.loc["CD14", "lfc"]])
    assert columns(pl.perturbation(b, features=["CD14"])) == ["all cells"]
    two = changes[changes["group"].isin(changes["group"].unique()[:2])]
    ax = pl.perturbation({"GATA1": two}, features=["CD14"])
    assert columns(ax) == [f"GATA1, {g}" for g in two["group"].unique()]


def test_perturbation_is_named(changes):
    one = changes[changes["group"] == changes["group"].iloc[0]].drop(columns="group")
    (name,) = one["perturbation"].unique()
    assert pl.perturbation(one).get_title() == name
    both = pd.concat([one, one.assign(perturbation="SPI1 knock-out", lfc=-one["lfc"])])
    ax = pl.perturbation(both, features=["CD14"])
    assert columns(ax) == [name, "SPI1 knock-out"] and ax.get_title() == ""
    assert values(ax)[0, 0] == -values(ax)[0, 1] != 0
    assert pl.perturbation({"mine": one}).get_title() == ""
    assert pl.perturbation(one.drop(columns="perturbation")).get_title() == ""


def test_same_name_in_two_modalities(changes):
    one = changes[changes["group"] == changes["group"].iloc[0]].drop(columns="group")
    atac = one[one["modality"] == "atac"].index[0]
    ax = pl.perturbation(one.rename(index={atac: "CD14"}), features=["CD14"])
    assert rows(ax) == ["CD14", "CD14"]
    assert [t.get_text() for t in ax.texts] == ["rna", "atac"]


def test_errors(changes):
    with pytest.raises(ValueError, match=r"`features`: 'CD144' .*'CD14'"):
        pl.perturbation(changes, features=["CD144"])
    with pytest.raises(ValueError, match="`features` must name at least one"):
        pl.perturbation(changes, features=[])
    with pytest.raises(ValueError, match=r"`table` is missing the columns \['p_value'\].*perturb"):
        pl.perturbation(changes.drop(columns="p_value"))
    with pytest.raises(ValueError, match="empty mapping"):
        pl.perturbation({})
    with pytest.raises(ValueError, match="`value` must be one of"):
        pl.perturbation(changes, value="lfc_sd")
    with pytest.raises(ValueError, match="`n_features` must be an integer of at least 1"):
        pl.perturbation(changes, n_features=0)


def test_new_figure_has_room_for_names_and_for_the_colour_bar(changes):
    table = {"knock-down of a gene with a long name": changes}
    ax = pl.perturbation(table, features="LYZ", value="z_score")
    ax.figure.draw_without_rendering()
    label = ax.figure.axes[1].yaxis.label.get_window_extent()
    assert ax.figure.bbox.y0 <= label.y0 and label.y1 <= ax.figure.bbox.y1
    assert ax.get_window_extent().height > 1.2 * ax.figure.dpi


def test_modalities_are_named_beside_a_single_column(changes):
    one = changes[changes["group"] == changes["group"].iloc[0]].drop(columns="group")
    ax = pl.perturbation(one)
    ax.figure.draw_without_rendering()
    (bar,) = (a for a in ax.figure.axes if a is not ax)
    names = {t.get_text(): t.get_window_extent() for t in ax.texts}
    assert list(names) == ["rna", "atac"]
    for box in names.values():
        assert ax.get_window_extent().x1 < box.x0
        assert box.x1 < bar.get_window_extent().x0
    assert columns(ax) == ["all cells"]
