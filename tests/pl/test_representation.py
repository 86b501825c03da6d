"""Positions of cells, means and ellipses, and colours, in the plane of projection."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex, to_rgb, to_rgba
from matplotlib.text import Text
from scanpy.plotting import palettes
from tests.toy import toy_adata

from multiDGD import MultiDGD, pl
from multiDGD.pl._mixture import Moments, best_plane


def moments(mixture):
    mean = mixture.mean.detach().numpy().astype(float)
    variance = np.broadcast_to(mixture.covariance.detach().numpy(), mean.shape).astype(float)
    return mean, variance, mixture.mixture_probs().detach().numpy().astype(float)


def plane_by_hand(mixture):
    """Principal axes of the weighted means, by singular value decomposition."""
    mean, _, weight = moments(mixture)
    weight = weight / weight.sum()
    centre = weight @ mean
    _, s, vt = np.linalg.svd(np.sqrt(weight)[:, None] * (mean - centre), full_matrices=False)
    return centre, vt[:2].T, s[:2] ** 2 / (s**2).sum()


def in_plane(model, *args, **kwargs):
    """Plot in the plane, with the ellipses of all components."""
    return pl.representation(model, *args, basis="plane", n_labels=100, **kwargs)


def points(ax):
    """All non-empty collections of points."""
    return [c for c in ax.collections if len(c.get_offsets())]


def test_cells_means_and_labels(multiome):
    ax = in_plane(multiome)
    centre, axes, share = plane_by_hand(multiome.module.mixture)
    cells, means = points(ax)
    expected = (multiome.get_latent_representation() - centre) @ axes
    sign = np.sign((expected * cells.get_offsets()).sum(0))
    np.testing.assert_allclose(cells.get_offsets(), expected * sign, atol=1e-4)
    mean = moments(multiome.module.mixture)[0]
    np.testing.assert_allclose(means.get_offsets(), (mean - centre) @ axes * sign, atol=1e-4)
    assert ax.get_xlabel() == f"axis 1 ({100 * share[0]:.0f} %)"
    assert ax.get_ylabel() == f"axis 2 ({100 * share[1]:.0f} %)"
    assert ax.get_aspect() == 1


def test_ellipses_are_projections(multiome):
    mixture = multiome.module.mixture
    ax = in_plane(multiome)
    _, variance, _ = moments(mixture)
    centre, axes, _ = plane_by_hand(mixture)
    means = np.asarray(points(ax)[-1].get_offsets())
    mean = moments(mixture)[0]
    axes = axes * np.sign(((mean - centre) @ axes * means).sum(0))
    assert len(ax.patches) == 2 * mixture.n_mix_comp
    for k in range(mixture.n_mix_comp):
        covariance = axes.T @ np.diag(variance[k]) @ axes
        for n_sd, ellipse in zip((1, 2), ax.patches[2 * k : 2 * k + 2], strict=True):
            np.testing.assert_allclose(ellipse.center, means[k], atol=1e-6)
            # The Mahalanobis distance of the border, by the projected covariance, is n_sd.
            angle = np.radians(ellipse.angle)
            major = np.array([np.cos(angle), np.sin(angle)]) * ellipse.width / 2
            minor = np.array([-np.sin(angle), np.cos(angle)]) * ellipse.height / 2
            for t in np.linspace(0, 2 * np.pi, 7):
                v = np.cos(t) * major + np.sin(t) * minor
                distance = np.sqrt(v @ np.linalg.solve(covariance, v))
                assert distance == pytest.approx(n_sd, rel=1e-3)


def test_all_ellipses_are_within_the_limits(multiome):
    ax = in_plane(multiome)
    (x0, x1), (y0, y1) = ax.get_xlim(), ax.get_ylim()
    for ellipse in ax.patches:
        box = ellipse.get_extents().transformed(ax.transData.inverted())
        assert x0 <= box.x0 and box.x1 <= x1 and y0 <= box.y0 and box.y1 <= y1


def test_scanpy_colors_by_default(multiome):
    ax = in_plane(multiome, "cell_type")
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    types = multiome.adata.obs["cell_type"]
    assert labels == [str(c) for c in types.cat.categories if (types == c).any()]
    assert ax.get_legend().get_title().get_text() == "cell_type"
    assert "cell_type_colors" not in multiome.adata.uns  # the data are not modified
    handles = [to_hex(h.get_facecolor()[0]) for h in ax.get_legend().legend_handles]
    assert handles == [to_hex(c) for c in palettes.default_102[: len(labels)]]


def test_colors_from_uns(multiome, monkeypatch):
    types = multiome.adata.obs["cell_type"].astype("category").cat.categories
    colors = [to_hex(plt.get_cmap("hsv")(i / len(types))) for i in range(len(types))]
    monkeypatch.setitem(multiome.adata.uns, "cell_type_colors", colors)
    ax = in_plane(multiome, "cell_type")
    color = dict(zip(types.astype(str), map(to_rgba, colors), strict=True))
    handles = ax.get_legend().legend_handles
    for handle, text in zip(handles, ax.get_legend().get_texts(), strict=True):
        np.testing.assert_allclose(handle.get_facecolor()[0], color[text.get_text()], atol=0.01)
    drawn = next(c for c in points(ax) if len(c.get_offsets()) == multiome.adata.n_obs)
    centre, axes, _ = plane_by_hand(multiome.module.mixture)
    xy = (multiome.get_latent_representation() - centre) @ axes
    xy *= np.sign(xy[np.abs(xy).argmax(0), [0, 1]])
    offsets = np.asarray(drawn.get_offsets())
    offsets = offsets * np.sign(offsets[np.abs(offsets).argmax(0), [0, 1]])
    for i in (0, 100, 499):
        at = np.abs(offsets - xy[i]).sum(1).argmin()
        expected = color[str(multiome.adata.obs["cell_type"].iloc[i])]
        np.testing.assert_allclose(drawn.get_facecolors()[at], expected, atol=0.01)
    # Components of a supervised mixture have a darker shade of their label's colour.
    for k, label in enumerate(multiome.summary.labels):
        edge = np.array(to_rgb(ax.patches[2 * k].get_edgecolor()))
        ratio = edge / np.maximum(to_rgb(color[str(label)]), 1e-9)
        assert np.ptp(ratio[edge > 0.01]) < 0.05 and ratio.max() < 1


def test_numbers_have_a_color_bar(multiome, monkeypatch):
    obs = multiome.adata.obs.copy()
    obs["total_counts"] = np.arange(len(obs), dtype=float)
    obs.iloc[3, obs.columns.get_loc("total_counts")] = np.nan
    monkeypatch.setattr(multiome.adata, "obs", obs)
    ax = in_plane(multiome, "total_counts", components=False)
    missing, known = points(ax)
    assert len(missing.get_offsets()) == 1
    assert to_hex(missing.get_facecolor()[0]) == to_hex("lightgrey")
    values = np.asarray(known.get_array())
    assert len(values) == len(obs) - 1
    assert (np.diff(values) > 0).all()  # the largest values are on top
    low, high = np.quantile(values, [0.01, 0.99])
    np.testing.assert_allclose(known.get_clim(), (low, high))
    assert ax.get_legend() is None
    assert [a.get_ylabel() for a in ax.figure.axes if a is not ax] == ["total_counts"]


def test_missing_categories_are_grey(multiome, monkeypatch):
    obs = multiome.adata.obs.copy()
    obs["half"] = np.where(np.arange(len(obs)) < 200, None, "known")
    monkeypatch.setattr(multiome.adata, "obs", obs)
    ax = in_plane(multiome, "half", components=False)
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["known", "NA"]
    assert sorted(len(c.get_offsets()) for c in points(ax)) == [200, 300]


def test_components_color_cells(mosaic):
    ax = in_plane(mosaic, "component", indices=range(300))
    found = np.unique(mosaic.get_cluster_assignments(indices=range(300)))
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == [str(k) for k in found]
    cells = next(c for c in points(ax) if len(c.get_offsets()) == 300)
    assert len(np.unique(cells.get_facecolors(), axis=0)) == len(found)


def test_numbers_of_components_do_not_overlap(mosaic):
    ax = in_plane(mosaic)
    texts = [t for t in ax.texts if t.get_text()]
    assert {t.get_text() for t in texts} <= {
        str(k) for k in range(mosaic.module.mixture.n_mix_comp)
    }
    assert len(texts) > 5
    boxes = [Text.get_window_extent(t) for t in texts]
    overlaps = [a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i]]
    assert not any(overlaps)


def test_subset_of_cells(multiome):
    mask = (multiome.adata.obs["batch"] == "s1d1").to_numpy()
    by_mask = in_plane(multiome, "batch", indices=mask, components=False)
    assert not by_mask.patches
    assert [t.get_text() for t in by_mask.get_legend().get_texts()] == ["s1d1"]
    (cells,) = points(by_mask)
    assert len(cells.get_offsets()) == mask.sum()
    part = multiome.adata[mask].copy()
    (of_part,) = points(in_plane(multiome, adata=part, components=False))
    np.testing.assert_allclose(
        sorted(of_part.get_offsets()[:, 0]), sorted(cells.get_offsets()[:, 0]), atol=1e-6
    )


def test_covariate(mosaic, monkeypatch):
    colors = ["#ff0000", "#00ff00", "#0000ff", "#ffff00"]
    monkeypatch.setitem(mosaic.adata.uns, "batch_colors", colors)
    ax = pl.covariate_representation(mosaic)
    cells = next(c for c in points(ax) if len(c.get_offsets()) == mosaic.adata.n_obs)
    expected = mosaic.get_covariate_representation("batch")
    np.testing.assert_allclose(
        sorted(map(tuple, cells.get_offsets())), sorted(map(tuple, expected)), atol=1e-6
    )
    mixture = mosaic.module.mixtures_of_covariates[0]
    for k, color in enumerate(colors):
        for n_sd, ellipse in zip((1, 2), ax.patches[2 * k : 2 * k + 2], strict=True):
            np.testing.assert_allclose(ellipse.center, mixture.mean[k].tolist(), rtol=1e-5)
            sd = float(mixture.stddev[k, 0].detach())
            np.testing.assert_allclose([ellipse.width, ellipse.height], 2 * n_sd * sd, rtol=1e-4)
            assert np.argmax(to_rgb(ellipse.get_edgecolor())) == np.argmax(to_rgb(color))
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["p1_0", "p2_0", "p3_0", "p4_0"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("dimension 1", "dimension 2")


def test_model_without_data(multiome, tmp_path):
    multiome.save(tmp_path / "model")
    model = MultiDGD.load(tmp_path / "model", adata=False)
    assert len(points(in_plane(model))[0].get_offsets()) == 500
    ax = pl.covariate_representation(model)
    assert {t.get_text() for t in ax.texts} == {"s1d1", "s1d2"}
    with pytest.raises(ValueError, match="loaded without data: pass `adata`"):
        in_plane(model, "cell_type")


def test_errors(multiome):
    with pytest.raises(ValueError, match=r"`color`: 'celltype' .*'cell_type'"):
        pl.representation(multiome, "celltype")
    with pytest.raises(ValueError, match="`n_labels` must be an integer of at least 0"):
        pl.representation(multiome, n_labels=-1)
    with pytest.raises(ValueError, match=r"`key`: 'batches' .*'batch'"):
        pl.covariate_representation(multiome, "batches")
    with pytest.raises(ValueError, match="`indices`"):
        in_plane(multiome, "cell_type", indices=[1_000])
    assert not plt.get_fignums()


def test_key_is_required_for_several_covariates():
    adata = toy_adata()
    MultiDGD.setup_anndata(adata, batch_key="batch", categorical_covariate_keys=["site"])
    model = MultiDGD(adata, n_latent=3, n_covariate_latent=1)
    model.train(max_epochs=1, enable_progress_bar=False, accelerator="cpu")
    with pytest.raises(ValueError, match=r"`key` is required: .*\['batch', 'site'\]"):
        pl.covariate_representation(model)
    with pytest.raises(ValueError, match="one dimension cannot be drawn"):
        pl.covariate_representation(model, "site")


def test_plane_of_one_component_follows_its_variance():
    variance = np.array([[0.1, 3.0, 0.2, 5.0]])
    plane = best_plane(Moments(np.ones((1, 4)), variance, np.ones(1)))
    np.testing.assert_allclose(np.abs(plane.directions), np.eye(4)[:, [3, 1]], atol=1e-9)
    assert plane.labels == ("axis 1", "axis 2")


def test_plane_weighs_components():
    # The last mean is far away along the third axis, but has almost no weight.
    mean = np.array([[-1.0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 20]])
    weight = np.array([0.4, 0.4, 0.199, 0.0001])
    plane = best_plane(Moments(mean, np.full((4, 3), 0.01), weight / weight.sum()))
    assert np.abs(plane.directions[2]).max() < 0.1


def test_boolean_and_integer_batches_are_categories():
    adata = toy_adata()
    adata.obs["batch"] = pd.Categorical((adata.obs["batch"] == "b1").astype(int))
    adata.obs["is_c"] = (adata.obs["label"] == "C").to_numpy()
    MultiDGD.setup_anndata(adata, batch_key="batch")
    model = MultiDGD(adata, n_latent=3)
    model.train(max_epochs=1, enable_progress_bar=False, accelerator="cpu")
    legend = pl.covariate_representation(model).get_legend()
    assert [t.get_text() for t in legend.get_texts()] == ["0", "1"]
    legend = in_plane(model, "is_c").get_legend()
    assert [t.get_text() for t in legend.get_texts()] == ["False", "True"]


def test_cells_of_one_batch_keep_its_color(mosaic):
    one = mosaic.adata[mosaic.adata.obs["batch"] == "p3_0"].copy()
    one.obs["batch"] = one.obs["batch"].astype(str)
    one.uns.pop("batch_colors", None)
    ax = pl.covariate_representation(mosaic, "batch", adata=one)
    cells = next(c for c in points(ax) if len(c.get_offsets()) == one.n_obs)
    assert to_hex(cells.get_facecolor()[0]) == palettes.default_20[2]


def test_model_of_a_single_batch_has_no_covariate_to_draw():
    adata = toy_adata()
    adata.obs["run"] = "only"
    MultiDGD.setup_anndata(adata, batch_key="run")
    model = MultiDGD(adata, n_latent=3)
    model.train(max_epochs=1, enable_progress_bar=False, accelerator="cpu")
    for key in (None, "run"):
        with pytest.raises(ValueError, match="no covariate to draw"):
            pl.covariate_representation(model, key)
