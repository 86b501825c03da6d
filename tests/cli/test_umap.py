"""Panels and legends of the UMAP of the command line."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from multiDGD.cli._umap import draw_umap


@pytest.fixture
def cells():
    rng = np.random.default_rng(0)
    obs = pd.DataFrame(
        {
            "cell_type": [f"type number {i % 60}" for i in range(600)],
            "batch": np.arange(600) % 2,
            "$_$": pd.Categorical(np.arange(600) % 17),
        },
        index=[f"cell{i}" for i in range(600)],
    )
    obs.loc["cell0", "cell_type"] = None
    return AnnData(obs=obs, obsm={"X_umap": rng.normal(size=(600, 2))})


def test_every_panel_has_a_legend_inside_the_figure(cells, tmp_path):
    draw_umap(cells, tmp_path / "umap.png", ["cell_type", "batch", "batch", "$_$"])
    assert (tmp_path / "umap.png").read_bytes().startswith(b"\x89PNG")
    figure = plt.gcf()
    figure.draw_without_rendering()
    axes = [ax for ax in figure.get_axes() if ax.axison]
    assert len(axes) == 3
    shapes = [ax.get_window_extent().width / ax.get_window_extent().height for ax in axes]
    assert max(shapes) < 1.3 * min(shapes)
    titles = [ax.get_legend().get_title().get_text() for ax in axes]
    assert titles == ["cell_type", "batch", "$_$"]
    entries = [[t.get_text() for t in ax.get_legend().get_texts()] for ax in axes]
    assert len(entries[0]) == 61 and entries[0][-1] == "NA"
    assert entries[1] == ["0", "1"]
    area = 0.0
    for ax in axes:
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("UMAP 1", "UMAP 2")
        frame, legend = ax.get_window_extent(), ax.get_legend().get_window_extent()
        assert frame.x1 <= legend.x0
        assert figure.bbox.x0 <= legend.x0 and legend.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= legend.y0 and legend.y1 <= figure.bbox.y1
        others = [other.get_window_extent() for other in axes if other is not ax]
        assert not any(legend.overlaps(other) for other in others)
        area += frame.width * frame.height + legend.width * legend.height
    assert area > 0.65 * figure.bbox.width * figure.bbox.height
    assert figure.bbox.width / figure.dpi < 16


def test_one_panel(cells, tmp_path):
    draw_umap(cells, tmp_path / "umap.png", ["batch"])
    (ax,) = plt.gcf().get_axes()
    assert sum(len(c.get_offsets()) for c in ax.collections) == 600


def test_predicted_labels_have_the_colours_of_the_labels(cells, tmp_path):
    cells.obs["cell_type"] = np.where(np.arange(600) < 100, "unknown", "a")
    cells.obs.loc[cells.obs_names[300:], "cell_type"] = "z"
    cells.obs["multidgd_label"] = np.where(np.arange(600) % 2, "z", "a")
    setup = {"labels_key": "cell_type", "unlabeled_category": "unknown"}
    draw_umap(cells, tmp_path / "umap.png", ["cell_type", "multidgd_label"], setup)
    given, predicted = (ax.get_legend() for ax in plt.gcf().get_axes() if ax.axison)
    assert [t.get_text() for t in given.get_texts()] == ["a", "z", "NA"]
    assert [t.get_text() for t in predicted.get_texts()] == ["a", "z"]
    colors = [
        [h.get_facecolor().tolist() for h in x.legend_handles[:2]] for x in (given, predicted)
    ]
    assert colors[0] == colors[1] and colors[0][0] != colors[0][1]
