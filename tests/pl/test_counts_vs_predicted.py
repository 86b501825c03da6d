"""Observed against predicted counts of features."""

from itertools import pairwise

import numpy as np
import pytest

from multiDGD import pl
from multiDGD.pl import _counts_vs_predicted


def drawn(ax):
    return np.asarray(ax.collections[0].get_offsets())


def test_means_of_features(multiome):
    ax = pl.counts_vs_predicted(multiome, "atac")
    observed = np.asarray(multiome.adata["atac"].X.mean(axis=0), dtype=float).ravel()
    predicted = multiome.get_normalized_expression(modality="atac", library_size="latent")
    predicted = predicted.to_numpy(float).mean(axis=0)
    detected = observed > 0
    low = observed[detected].min() / 5
    to_scale = detected & (predicted >= low)
    np.testing.assert_allclose(drawn(ax)[:, 0], observed[to_scale], rtol=1e-4)
    np.testing.assert_allclose(drawn(ax)[:, 1], predicted[to_scale], rtol=1e-4)
    r = np.corrcoef(np.log(observed[detected]), np.log(predicted[detected]))[0, 1]
    assert r > 0.8
    assert ax.get_title() == f"atac: {detected.sum()} features, r = {r:.3f}"
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert ax.get_xlabel() == "observed mean count"
    (identity,) = ax.get_lines()
    np.testing.assert_array_equal(identity.get_xdata(), identity.get_ydata())
    assert identity.get_xdata()[0] in (low, drawn(ax).min())
    np.testing.assert_allclose(identity.get_xdata()[1], drawn(ax).max())


def test_tiny_predictions_are_marked_at_the_border(multiome, monkeypatch):
    observed, predicted = np.array([0.01, 0.1, 1.0, 0.02]), np.array([0.01, 0.1, 1.0, 1e-9])
    monkeypatch.setattr(
        "multiDGD.pl._counts_vs_predicted._averages", lambda *_: (observed, predicted)
    )
    ax = pl.counts_vs_predicted(multiome)
    to_scale, below = (np.asarray(c.get_offsets()) for c in ax.collections)
    np.testing.assert_array_equal(to_scale[:, 1], predicted[:3])
    np.testing.assert_allclose(below, [[0.02, 0.002]])
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["predicted < 0.002 (1)"]
    assert ax.get_ylim()[0] > 1e-4
    assert f"r = {np.corrcoef(np.log(observed), np.log(predicted))[0, 1]:.3f}" in ax.get_title()


def test_only_cells_with_the_modality(mosaic):
    ax = pl.counts_vs_predicted(mosaic, "adt")
    x = mosaic.adata["adt"].X  # 1,200 of the 1,600 cells
    observed = np.asarray(x.mean(axis=0), dtype=float).ravel()
    np.testing.assert_allclose(drawn(ax)[:, 0], observed[observed > 0], rtol=1e-4)


def test_detection(multiome):
    cells = np.arange(0, 500, 3)
    ax = pl.counts_vs_predicted(multiome, statistic="detected", indices=cells)
    observed = np.asarray((multiome.adata["rna"].X[cells] > 0).mean(axis=0)).ravel()
    predicted = multiome.get_accessibility_estimates(
        indices=cells, modality="rna", library_size="latent", return_numpy=True
    ).mean(axis=0)
    detected = observed > 0
    np.testing.assert_allclose(drawn(ax)[:, 0], observed[detected], rtol=1e-4)
    np.testing.assert_allclose(drawn(ax)[:, 1], predicted[detected], rtol=1e-4)
    assert ax.get_ylabel() == "predicted detection rate"


def test_result_is_independent_of_the_chunk_size(multiome, monkeypatch):
    whole = drawn(pl.counts_vs_predicted(multiome))
    monkeypatch.setattr(_counts_vs_predicted, "_CHUNK", 77)
    np.testing.assert_allclose(drawn(pl.counts_vs_predicted(multiome)), whole, rtol=1e-5)


def test_query_cells_with_a_subset_of_the_features(multiome):
    query = multiome.adata[:60].copy()
    query.mod["rna"] = query["rna"][:, ::2].copy()
    query.obs_names = query["rna"].obs_names = query["atac"].obs_names = [
        f"new{i}" for i in range(60)
    ]
    query.update()
    ax = pl.counts_vs_predicted(multiome, "rna", adata=query)
    observed = np.asarray(query["rna"].X.mean(axis=0), dtype=float).ravel()
    np.testing.assert_allclose(drawn(ax)[:, 0], observed[observed > 0], rtol=1e-4)
    predicted = multiome.get_normalized_expression(query, modality="rna", library_size="latent")
    predicted = predicted[query["rna"].var_names].to_numpy(float).mean(axis=0)
    np.testing.assert_allclose(drawn(ax)[:, 1], predicted[observed > 0], rtol=1e-4)


def test_errors(multiome, mosaic):
    with pytest.raises(ValueError, match=r"`modality`: 'atacs' .*'atac'"):
        pl.counts_vs_predicted(multiome, "atacs")
    with pytest.raises(ValueError, match="`statistic` must be one of"):
        pl.counts_vs_predicted(multiome, statistic="median")
    without_adt = ~mosaic.adata.obs_names.isin(mosaic.adata["adt"].obs_names)
    with pytest.raises(ValueError, match="'adt' was not measured"):
        pl.counts_vs_predicted(mosaic, "adt", indices=without_adt)


def test_tick_labels_within_a_decade_do_not_overlap(multiome, monkeypatch):
    shares = np.geomspace(0.2, 1, 50)
    monkeypatch.setattr(_counts_vs_predicted, "_averages", lambda *_: (shares, shares))
    ax = pl.counts_vs_predicted(multiome, statistic="detected")
    ax.figure.draw_without_rendering()
    ticks = [*ax.xaxis.get_major_ticks(), *ax.xaxis.get_minor_ticks()]
    boxes = [t.label1.get_window_extent() for t in ticks if t.label1.get_text()]
    boxes = sorted((b for b in boxes if b.width), key=lambda b: b.x0)
    assert len(boxes) > 3
    assert all(a.x1 <= b.x0 for a, b in pairwise(boxes))


def test_values_within_a_decade_have_linear_axes(monkeypatch, mosaic):
    x = np.linspace(0.9, 1.0, 20)
    for values, scale in ((x, "linear"), (x**60, "log")):
        monkeypatch.setattr(
            _counts_vs_predicted, "_averages", lambda *args, v=values: (v, v * 0.99)
        )
        ax = pl.counts_vs_predicted(mosaic)
        assert (ax.get_xscale(), ax.get_yscale()) == (scale, scale)
        assert ax.get_title().endswith("r = 1.000")
