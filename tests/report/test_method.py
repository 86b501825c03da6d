"""``MultiDGD.report``."""

import pytest

from multiDGD import MultiDGD


def test_file(model, tmp_path):
    path = model.report(tmp_path / "fit.html", label_key="cell_type", basis="true")
    assert path == tmp_path / "fit.html"
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert "<h1>fit</h1>" in text
    assert "true of" in text
    assert [p.name for p in tmp_path.iterdir()] == ["fit.html"]


def test_long_steps_are_logged(model, tmp_path, messages):
    path = model.report(tmp_path / "fit.html")
    n_cells, n_held_out = model.adata.n_obs, len(model.validation_indices_)
    assert messages == [
        ("INFO", "Writing the report"),
        ("INFO", f"Computing the typicality and uncertainty of {n_cells} cells"),
        ("INFO", f"Predicting the counts of {n_held_out} held-out cells"),
        ("INFO", f"Computing the UMAP of {n_cells} cells"),
        ("INFO", f"Wrote the report {path}"),
    ]


def test_file_is_replaced(model, tmp_path):
    (tmp_path / "fit.html").write_text("older")
    model.report(str(tmp_path / "fit.html"), title="<b>", basis="X_true")
    assert "<h1>&lt;b&gt;</h1>" in (tmp_path / "fit.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"label_key": "cell_typ"}, "`label_key`.*cell_type"),
        ({"basis": "X_umpa"}, "`basis`"),
        ({"max_cells": 0}, "`max_cells`"),
        ({"seed": -1}, "`seed`"),
    ],
)
def test_invalid_arguments(model, tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        model.report(tmp_path / "fit.html", **arguments)
    assert not list(tmp_path.iterdir())


def test_missing_folder(model, tmp_path):
    with pytest.raises(FileNotFoundError, match="`path`"):
        model.report(tmp_path / "absent" / "fit.html")


def test_path_of_a_folder(model, tmp_path):
    with pytest.raises(ValueError, match="`path` must be a file"):
        model.report(tmp_path)


def test_model_without_data(model, tmp_path):
    model.save(tmp_path / "model")
    alone = MultiDGD.load(tmp_path / "model", adata=False, accelerator="cpu")
    with pytest.raises(ValueError, match="without data"):
        alone.report(tmp_path / "fit.html")
