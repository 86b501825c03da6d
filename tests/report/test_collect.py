"""Contents of a report against the model and its data."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from tests.model.fitting import fitted
from tests.report.conftest import EVIL, QUOTES
from tests.report.test_bytes import unpack
from tests.toy import toy_adata

from multiDGD import MultiDGD
from multiDGD.report import Light, collect, render


def coloring(report, name):
    return next(c for c in (*report.cells.colorings, *report.cells.features) if c.name == name)


def test_fit(report, model):
    assert report.fit.n_cells == 120
    assert report.fit.split == {"training": 108, "validation": 12}
    rna, atac = report.fit.modalities
    assert (rna.name, rna.n_features, rna.n_cells) == ("rna", 40, 120)
    counts = model.adata["rna"].X
    assert rna.median_counts == np.median(np.asarray(counts.sum(1)))
    assert rna.median_features == np.median((counts.toarray() > 0).sum(1))
    assert report.fit.covariates == {"batch": 2}
    assert report.fit.versions["scvi-tools"]
    assert report.missing == {}


def test_checks(report):
    names = ["Prediction", "Convergence", "Mixing of batches", "Atypical cells", "Depth"]
    assert [check.name for check in report.checks] == names
    # Three epochs are too few, whatever the losses are.
    assert report.checks[1].light is Light.ACT


def test_mixing_without_a_known_label(model, monkeypatch):
    """The score of all cells is not said to be within types."""
    monkeypatch.setitem(model.adata.obs, "cell_type", "unknown")
    mixing = collect(model, label_key="cell_type", basis="true").checks[2]
    assert "within" not in mixing.meaning
    assert mixing.value == collect(model, basis="true").checks[2].value


def test_colours_of_a_modality(model, monkeypatch):
    colors = ["#010101", "#020202"]
    monkeypatch.setitem(model.adata["rna"].uns, "batch_colors", colors)
    assert coloring(collect(model, basis="true"), "batch").colors == colors


def test_predictions_match_the_model(report, model):
    for prediction in report.predictions:
        score = model.get_count_split_score(indices=model.validation_indices_, silent=True)
        expected = score.attrs["summary"][prediction.modality]["posterior"]
        assert prediction.model == pytest.approx(expected, abs=1e-6)
        assert prediction.pca is not None
        assert prediction.difference_se > 0


def test_curves(report, model):
    assert [c.name for c in report.curves] == ["all", "rna", "atac"]
    assert report.n_epochs == 3
    expected = model.history["train_loss"].iloc[:, 0].to_numpy(dtype=float)
    np.testing.assert_allclose(report.curves[0].train[:, 1], expected)
    assert len(report.curves[0].validation) == 3


def test_colours_belong_to_the_cells(report, model):
    """The cells are shuffled, all arrays alike."""
    batch = coloring(report, "batch")
    codes = unpack(batch.data, np.uint8)
    library = coloring(report, "total counts, rna (log10)")
    level = unpack(library.data, np.uint8)
    cells = np.random.default_rng(0).permutation(120)
    names = np.array(batch.names)[codes]
    assert list(names) == list(model.adata.obs["batch"].astype(str).iloc[cells])
    logs = np.log10(np.asarray(model.adata["rna"].X.sum(1)).ravel())[cells]
    decoded = library.low + level / 254 * (library.high - library.low)
    inside = (logs > library.low) & (logs < library.high)
    np.testing.assert_allclose(
        decoded[inside], logs[inside], atol=(library.high - library.low) / 200
    )


def test_names_belong_to_the_cells(report, model):
    lines = unpack(report.cells.names, np.uint8).tobytes().decode().split("\n")
    assert lines == list(model.adata.obs_names[np.random.default_rng(0).permutation(120)])


def test_columns_copied_from_a_modality_are_left_out(model, monkeypatch):
    monkeypatch.setitem(model.adata.obs, "rna:batch", model.adata.obs["batch"])
    monkeypatch.setitem(model.adata.obs, "rna:other", model.adata.obs["batch"])
    names = [c.name for c in collect(model, basis="true").cells.colorings]
    assert "rna:other" in names and "rna:batch" not in names


def test_normalised_values_have_a_note():
    adata = toy_adata()
    assert not any("whole numbers" in note for note in collect(fitted(adata)).notes)
    adata = toy_adata()
    adata.X = adata.X * 1.5
    with pytest.warns(UserWarning, match="unnormalized count data"):
        model = fitted(adata)
    assert "The values of counts are not whole numbers" in collect(model).notes[0]


def test_single_modality_is_not_named():
    adata = toy_adata()
    report = collect(fitted(adata))
    assert "total counts (log10)" in [c.name for c in report.cells.colorings]
    assert report.checks[4].value.rpartition("; ")[2].startswith("median counts: ")
    assert not any("counts " in check.value for check in report.checks[:4])
    header = " ".join(render(report).partition("<main>")[0].split())
    assert f"{adata.n_obs} cells, {adata.n_vars} features." in header


def test_features_are_log_normalised_counts(report, model):
    counts = model.adata["rna"].X.toarray()
    cells = np.random.default_rng(0).permutation(120)
    found = coloring(report, EVIL)
    level = unpack(found.data, np.uint8)
    np.testing.assert_array_equal(level == 0, counts[cells, 0] == 0)


def test_peaks_are_no_features(report):
    assert {f.group for f in report.cells.features} == {"rna"}
    assert len(report.cells.features) == 40


def test_markers_come_first(report):
    first = [c.markers["rna"][0][0] for c in report.components if c.markers["rna"]]
    assert {f.name for f in report.cells.features[: len(first)]} == set(first)


def test_components(report, model):
    table = model.get_component_summary(label_key="cell_type")
    assert [c.n_cells for c in report.components] == sorted(
        table["n_cells"][table["n_cells"] > 0], reverse=True
    )
    for component in report.components:
        assert component.top_label == table["top_label"][component.number]
        for name, lfc in component.markers["rna"][:1]:
            assert table["top_rna"][component.number].startswith(name)
            assert lfc > 0.25
    changes = [lfc for c in report.components for pairs in c.markers.values() for _, lfc in pairs]
    assert len(changes) > len(report.components) and min(changes) > 0.25


def test_groups(report, model):
    (groups,) = report.groups.values()
    sizes = model.adata.obs["batch"].value_counts()
    assert {g.name: g.n_cells for g in groups} == {str(k): v for k, v in sizes.items()}
    typicality = model.get_typicality(silent=True)
    for group in groups:
        member = (model.adata.obs["batch"].astype(str) == group.name).to_numpy()
        assert group.atypical == pytest.approx((typicality[member] < 0.05).mean())


def test_missing_modalities(mosaic):
    report = collect(mosaic)
    assert report.missing == {"rna + atac": 80, "rna": 40}
    assert report.fit.modalities[1].n_cells == 80
    assert any("40 cells have no counts in atac" in note for note in report.notes)
    level = unpack(coloring(report, "total counts, atac (log10)").data, np.uint8)
    assert (level == 255).sum() == 40
    assert report.checks[2].light is Light.UNKNOWN  # there is no batch


def test_subset_of_the_cells(model):
    report = collect(model, max_cells=30)
    assert report.cells.n_drawn == 30
    assert report.fit.n_cells == 120
    assert len(unpack(report.cells.x, "<u2")) == 30
    assert any("30 of 120 cells" in note for note in report.notes)


def test_model_and_data_stay_as_they_were(model):
    before = list(model.adata.obsm), list(model.adata.obs), list(model.adata.uns)
    collect(model, label_key="cell_type")
    assert (list(model.adata.obsm), list(model.adata.obs), list(model.adata.uns)) == before


def test_columns_of_obs(report):
    names = [c.name for c in report.cells.colorings]
    assert names[:3] == ["cell_type", "batch", QUOTES]
    assert "component" in names


def test_query_model(model):
    """All cells of a query are held out, and the history is that of its reference."""
    query = model.adata[:40].copy()
    query.obs_names = [f"new{i}" for i in range(40)]
    for name, part in query.mod.items():
        part.obs_names = query.obs_names
        assert part.n_obs == 40, name
    query.obs["batch"] = "new"
    mapped = MultiDGD.load_query_data(query, model)
    mapped.train(max_epochs=2)
    report = collect(mapped)
    assert report.fit.split == {}
    assert report.curves == []
    assert report.checks[1].light is Light.UNKNOWN
    assert report.predictions[0].n_cells == 40
    assert [g.name for g in report.groups["batch"]] == ["new"]


def test_panels():
    """Features that a panel lacks are grey, and no principal components are computed."""
    adata = toy_adata(60, 10, rate=8)
    counts = adata.X.toarray()
    counts[::2, 1:5] = 0
    adata.X = csr_matrix(counts)
    report = collect(fitted(adata, batch_key="batch", panel_key="batch"))
    cells = np.random.default_rng(0).permutation(60)
    level = unpack(coloring(report, "gene1").data, np.uint8)
    np.testing.assert_array_equal(level == 255, cells % 2 == 0)
    assert report.predictions[0].pca is None
    assert any("different measured features" in note for note in report.notes)


def test_no_held_out_cells():
    report = collect(fitted(toy_adata(), train={"train_size": 1.0}))
    assert report.predictions == []
    assert report.checks[0].light is Light.UNKNOWN


def test_one_feature():
    report = collect(fitted(toy_adata(40, 1)))
    assert report.predictions == []
    assert len(report.cells.features) == 1
    assert render(report)
