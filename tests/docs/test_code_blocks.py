"""Python blocks of the documentation run, in the order of each page; command lines parse."""

import shlex
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from tests.docs.pages import DOCS, ROOT, blocks, pages

from multiDGD.cli._parser import build_parser
from multiDGD.datasets import simulate_multiome

README = ROOT / "README.md"
# The page starts a local cluster. Ray raises warnings.
RAY = DOCS / "user_guide" / "ray.md"
RAY_MARKS = [pytest.mark.slow, pytest.mark.filterwarnings("default")]


def python_pages() -> list[Path]:
    return [page for page in (README, *pages()) if blocks(page, "python")]


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(p, id=str(p.relative_to(ROOT)), marks=RAY_MARKS if p == RAY else ())
        for p in python_pages()
    ],
)
def test_python_blocks_run(page, tmp_path, monkeypatch):
    if page == RAY:
        pytest.importorskip("ray", reason="the extra `ray` is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plt, "show", lambda: None)
    names: dict[str, object] = {"__name__": "page"}
    if page == README:  # its code assumes that these exist
        names["mdata"] = simulate_multiome(n_cells=100, n_genes=40, n_peaks=60)
        names["mdata"].write_zarr("atlas.zarr")
    for block in blocks(page, "python"):
        # The empty lines make tracebacks show the line number of the page.
        code = "\n" * block.line + block.text
        exec(compile(code, str(page), "exec"), names)


def command_lines() -> list[str]:
    return [
        line
        for page in (README, *pages())
        for block in blocks(page, "bash")
        for line in block.text.splitlines()
        if line.startswith("multidgd ")
    ]


@pytest.mark.parametrize("line", command_lines())
def test_command_lines_parse(line):
    args = build_parser().parse_args(shlex.split(line, comments=True)[1:])
    assert args.command == line.split()[1]


def test_user_guide_and_readme_have_code():
    found = set(python_pages())
    without_code = {"index.md", "what_is_a_dgd.md", "inference.md", "cli.md", "glossary.md"}
    assert README in found
    for page in (DOCS / "user_guide").glob("*.md"):
        assert page in found or page.name in without_code, page.name
    assert any(line.startswith("multidgd fit") for line in command_lines())
