"""Peaks at their genomic positions around a gene."""

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from multiDGD import pl

START = 15_600_000  # start of the gene in the fixture, on chromosome 19


def base_pair(middle):
    """Undo the rounding of bar positions; middles of peaks are multiples of one half."""
    return int(middle + 0.25)


def bars(ax):
    """Whether each bar is coloured, by middle (bp) and height."""
    return {
        (base_pair((p.get_x() + p.get_width() / 2) * 1e6), round(p.get_height(), 6)): to_hex(
            p.get_facecolor()
        )
        == to_hex("C3")
        for p in ax.patches
    }


def test_bars_of_peaks_near_the_gene(links):
    window = 10_000_000
    ax = pl.locus(links, "LYZ", window=window, alpha=0.3)
    near = links[links["distance"].abs() <= window]
    middle = (near["start"] + near["end"]) / 2
    assert set(near["chrom"]) == {"chr19"} and len(near) > 3
    expected = {
        (base_pair(m), round(a, 6)): bool(p <= 0.3)
        for m, a, p in zip(middle, near["association"], near["p_value"], strict=True)
    }
    assert bars(ax) == expected
    assert len(set(expected.values())) == 2
    assert {t.get_text() for t in ax.texts} == {"LYZ"}
    starts = [line.get_xdata()[0] for line in ax.get_lines() if len(set(line.get_xdata())) == 1]
    assert starts == [pytest.approx(START / 1e6)]
    low, high = ax.get_xlim()
    assert low < (START - window) / 1e6 and high > (START + window) / 1e6
    assert ax.get_xlabel().startswith("chr19 (Mb)")
    assert ax.get_ylabel() == "association"
    low, high = ax.get_ylim()
    assert low < min(0, near["association"].min()) and high > max(0, near["association"].max())


def test_whole_chromosome_and_asymmetric_windows(links):
    known = links[links["distance"].notna()]
    ax = pl.locus(links, window=None)
    assert len(ax.patches) == len(known)
    low, high = ax.get_xlim()
    assert all(low < p.get_x() and p.get_x() + p.get_width() < high for p in ax.patches)
    right = known[known["distance"].between(0, 2e7)]
    assert len(pl.locus(links, window=(0, 20_000_000)).patches) == len(right)


def test_narrow_peaks_are_widened(links):
    ax = pl.locus(links, window=None)
    low, high = ax.get_xlim()
    assert min(p.get_width() for p in ax.patches) >= (high - low) / 200


def test_several_tables_share_a_scale(links):
    weaker = links.copy()
    weaker["association"] /= 2
    axes = pl.locus({"B": links, "T": weaker}, "LYZ", window=None)
    assert [ax.get_title(loc="left") for ax in axes] == ["B", "T"]
    assert axes[0].get_ylim() == axes[1].get_ylim() and axes[0].get_xlim() == axes[1].get_xlim()
    heights = [np.array([p.get_height() for p in ax.patches]) for ax in axes]
    np.testing.assert_allclose(heights[1], heights[0] / 2)
    assert [len(ax.texts) for ax in axes] == [1, 0]
    assert [ax.get_xlabel() != "" for ax in axes] == [False, True]
    figure, grid = plt.subplots(2)
    assert pl.locus({"B": links, "T": weaker}, window=None, ax=grid) == list(grid)


def test_published_changes(links):
    ax = pl.locus(links.rename(columns={"association": "change"}), window=None)
    assert ax.get_ylabel() == "change"


def test_errors(links):
    with pytest.raises(
        ValueError, match="`window` contains no peak: the closest is .* base pairs"
    ):
        pl.locus(links, window=1)
    elsewhere = links.assign(distance=np.nan)
    with pytest.raises(ValueError, match="there is none on the gene's chromosome"):
        pl.locus(elsewhere)
    with pytest.raises(ValueError, match=r"missing the columns \['chrom', 'start'\].*positions"):
        pl.locus(links.drop(columns=["chrom", "start"]))
    with pytest.raises(ValueError, match="`n_peaks` must be an integer of at least 1"):
        pl.locus(links[["association", "p_value"]], n_peaks=0)
    with pytest.raises(ValueError, match="has none of the columns .*'association', 'change'"):
        pl.locus(links.drop(columns="association"))
    with pytest.raises(ValueError, match="`window` must be a positive number"):
        pl.locus(links, window=-5)
    with pytest.raises(ValueError, match="`table` must be of a single gene"):
        moved = links.assign(distance=links["distance"] + 10)
        pl.locus({"a": links, "b": moved}, window=None)
    with pytest.raises(ValueError, match="`ax` has 1 axes for 2 tables"):
        pl.locus({"a": links, "b": links}, window=None, ax=plt.subplots()[1])


def test_height_is_the_probability_of_conditional_links(links):
    table = links.assign(probability=np.linspace(0, 1, len(links)))
    ax = pl.locus(table, window=None)
    assert ax.get_ylabel() == "probability"
    near = table["distance"].notna()
    heights = sorted(patch.get_height() for patch in ax.patches)
    np.testing.assert_allclose(heights, sorted(table["probability"][near]))


def test_peaks_without_positions_are_ranked(links):
    table = links[["association", "p_value"]].copy()
    table.iloc[:3, 1] = [0.01, 0.5, 0.05]
    ax = pl.locus(table, "LYZ", n_peaks=10)
    top = table.loc[table["association"].abs().nlargest(10).index]
    top = top.sort_values("association", ascending=False)
    assert [label.get_text() for label in ax.get_yticklabels()] == list(top.index)
    np.testing.assert_allclose([bar.get_width() for bar in ax.patches], top["association"])
    colors = [to_hex(bar.get_facecolor()) for bar in ax.patches]
    assert [c == to_hex("C3") for c in colors] == (top["p_value"] <= 0.05).tolist()
    assert ax.get_xlabel() == "association; coloured: p ≤ 0.05"
    assert ax.get_title() == "LYZ"
    assert ax.yaxis_inverted()  # the largest effect is at the top
    ax.figure.draw_without_rendering()
    labels = [label.get_window_extent() for label in ax.get_yticklabels()]
    assert not any(a.overlaps(b) for a, b in pairwise(labels))
    assert min(box.x0 for box in labels) >= 0
    axes = pl.locus({"T": table, "B": table}, "LYZ")
    assert [ax.get_title() for ax in axes] == ["LYZ, T", "LYZ, B"]


def test_positions_are_not_negative():
    start = [10_000, 200_000]
    table = pd.DataFrame(
        {
            "association": [0.8, 0.1],
            "p_value": [0.01, 0.5],
            "chrom": "chr1",
            "start": start,
            "end": [s + 500 for s in start],
            "distance": [s + 250 - 50_000 for s in start],
        }
    )
    assert pl.locus(table, "GENE").get_xlim()[0] == 0
