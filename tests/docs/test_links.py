"""Links between files of the repository lead somewhere."""

import re
import tomllib
from pathlib import Path

import pytest
from tests.docs.pages import ROOT, pages

_LINK = re.compile(r"\]\((?!https?://|mailto:|#)([^)#\s]+)(?:#[^)\s]*)?\)")
_CITATION = re.compile(r"\{cite:[pt]\}`([^`]+)`")
FILES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "benchmarks").rglob("*.md")),
    *pages(),
]


def target(file: Path, link: str) -> Path:
    """File that a link points to; benchmark pages are copied to ``docs`` when it is built."""
    path = (file.parent / link).resolve()
    copied = ROOT / "docs" / "benchmarks"
    return ROOT / "benchmarks" / path.relative_to(copied) if path.is_relative_to(copied) else path


@pytest.mark.parametrize("file", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_relative_links(file):
    missing = [x for x in _LINK.findall(file.read_text()) if not target(file, x).exists()]
    assert not missing


def test_links_of_the_readme_on_pypi():
    hatch = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]
    (rule,) = hatch["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]
    text = (ROOT / "README.md").read_text()
    files = _LINK.findall(text)
    shown = re.sub(rule["pattern"], rule["replacement"], text)
    assert not _LINK.findall(shown)
    at = "https://github.com/Center-for-Health-Data-Science/multiDGD/blob/main/"
    assert shown.count(at) == len(files) > 0
    assert all(f"]({at}{file})" in shown for file in files)


def test_citations_and_references_match():
    keys = set(re.findall(r"^@\w+\{(\w+),", (ROOT / "docs" / "references.bib").read_text(), re.M))
    cited = {
        key.strip()
        for page in pages()
        for keys in _CITATION.findall(page.read_text())
        for key in keys.split(",")
    }
    assert cited == keys
