"""Links between files of the repository point to existing files."""

import re
from pathlib import Path

import pytest
from tests.docs.pages import ROOT, pages

_LINK = re.compile(r"\]\((?!https?://|mailto:|#)([^)#\s]+)(?:#[^)\s]*)?\)")
_CITATION = re.compile(r"\{cite:[pt]\}`([^`]+)`")
FILES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "benchmarks").rglob("*.md")), *pages()]


def target(file: Path, link: str) -> Path:
    """File behind a link; the documentation build copies the benchmark pages to `docs`."""
    path = (file.parent / link).resolve()
    copied = ROOT / "docs" / "benchmarks"
    return ROOT / "benchmarks" / path.relative_to(copied) if path.is_relative_to(copied) else path


@pytest.mark.parametrize("file", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_relative_links(file):
    missing = [x for x in _LINK.findall(file.read_text()) if not target(file, x).exists()]
    assert not missing


def test_citations_and_references_match():
    keys = set(re.findall(r"^@\w+\{(\w+),", (ROOT / "docs" / "references.bib").read_text(), re.M))
    cited = {
        key.strip()
        for page in pages()
        for keys in _CITATION.findall(page.read_text())
        for key in keys.split(",")
    }
    assert cited == keys
