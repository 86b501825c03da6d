"""Tutorials have clean stored outputs and run without errors."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

import multiDGD

FOLDER = Path(__file__).parents[1] / "tutorials"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
MAX_BYTES = 600_000
# Local paths, warnings and errors that must not be in stored outputs.
UNWANTED = re.compile(r"(?<!\w)/(home|root|Users|tmp|mnt|opt)/|site-packages|Warning:|Traceback")

# Progress bars are no results, and their stored outputs show nothing.
PROGRESS_BAR = "application/vnd.jupyter.widget-view+json"


def cells(path: Path, kind: str) -> list[dict[str, Any]]:
    return [c for c in json.loads(path.read_text())["cells"] if c["cell_type"] == kind]


def title(path: Path) -> str:
    return cells(path, "markdown")[0]["source"][0].strip().removeprefix("# ")


def test_there_are_eight_tutorials():
    assert [path.name[:2] for path in NOTEBOOKS] == [f"{i}_" for i in range(1, 9)]


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request) -> Path:
    return request.param


def test_is_valid_and_small(notebook):
    nbformat = pytest.importorskip("nbformat")
    nbformat.validate(nbformat.read(notebook, as_version=4))
    assert notebook.stat().st_size < MAX_BYTES


def test_was_executed_from_top_to_bottom(notebook):
    code = cells(notebook, "code")
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert any("image/png" in output.get("data", {}) for output in outputs)


def test_outputs_are_clean(notebook):
    for cell in cells(notebook, "code"):
        for output in cell["outputs"]:
            assert output.get("name") != "stderr", output["text"]
            assert PROGRESS_BAR not in output.get("data", {})
            text = "".join(
                [*output.get("text", []), *output.get("data", {}).get("text/plain", [])]
            )
            assert not UNWANTED.search(text), text


def test_has_one_title(notebook):
    texts = ["".join(cell["source"]) for cell in cells(notebook, "markdown")]
    assert texts[0].startswith("# ")
    assert sum(len(re.findall(r"^# ", text, re.MULTILINE)) for text in texts) == 1


def test_hides_no_warnings(notebook):
    code = "\n".join("".join(cell["source"]) for cell in cells(notebook, "code"))
    assert not re.search(r"warnings|simplefilter", code)


def test_ends_with_own_data(notebook):
    last = json.loads(notebook.read_text())["cells"][-1]
    assert last["cell_type"] == "markdown"
    heading, _, *lines = "".join(last["source"]).splitlines()
    assert heading == "## On your own data"
    assert 3 <= len(lines) <= 5


def test_names_in_the_text_exist(notebook):
    text = "\n".join("".join(cell["source"]) for cell in cells(notebook, "markdown"))
    owners = {"MultiDGD": multiDGD.MultiDGD, "multiDGD.pl": multiDGD.pl}
    # Tables of other packages have `model` too, in their own columns.
    last = "".join(cells(notebook, "markdown")[-1]["source"])
    used = re.findall(r"(?<![\w.])(MultiDGD|multiDGD\.pl)\.(\w+)", text)
    used += [("MultiDGD", name) for name in re.findall(r"(?<![\w.])model\.(\w+)", last)]
    assert used
    assert not [f"{owner}.{name}" for owner, name in used if not hasattr(owners[owner], name)]


def test_is_in_the_readme(notebook):
    assert f"[{title(notebook)}]({notebook.name})" in (FOLDER / "README.md").read_text()


@pytest.mark.slow
def test_runs(notebook, tmp_path, monkeypatch):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    for module in ("muon", "scib_metrics"):
        pytest.importorskip(module)
    monkeypatch.delenv(
        "MPLBACKEND", raising=False
    )  # the inline backend of notebooks shows figures
    fresh = nbformat.read(notebook, as_version=4)
    for cell in fresh.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(fresh, timeout=180, resources=resources).execute()
    found = [cell for cell in fresh.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in found] == list(range(1, len(found) + 1))
    for cell, before in zip(found, cells(notebook, "code"), strict=True):
        shown = [
            output.output_type
            for output in cell.outputs
            if output.output_type != "stream" and PROGRESS_BAR not in output.get("data", {})
        ]
        kept = [output["output_type"] for output in before["outputs"]]
        assert shown == [kind for kind in kept if kind != "stream"]
    assert not list(tmp_path.iterdir())
