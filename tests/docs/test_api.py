"""The API pages list exactly the public names of the modules."""

import importlib
import pkgutil
import re

import pytest
from tests.docs.pages import DOCS

import multiDGD
from multiDGD import MultiDGD

# `multiDGD.model` contains `MultiDGD`, whose page is sorted by topic.
MODULES = sorted(
    m.name
    for m in pkgutil.iter_modules(multiDGD.__path__)
    if not m.name.startswith("_") and m.name != "model"
)
_ENTRY = re.compile(r"^   (?:\w+\.)*(\w+)$|^\.\. data:: (\w+)$", re.MULTILINE)
_DIRECTIVE = re.compile(r"^```\{eval-rst\}\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def listed(page: str) -> list[str]:
    text = (DOCS / "api" / f"{page}.md").read_text()
    return ["".join(names) for rst in _DIRECTIVE.findall(text) for names in _ENTRY.findall(rst)]


@pytest.mark.parametrize("name", MODULES)
def test_page_lists_all_names(name):
    found = listed(name)
    exported = importlib.import_module(f"multiDGD.{name}").__all__
    assert sorted(found) == sorted(exported)


def test_index_lists_all_pages():
    index = (DOCS / "api" / "index.md").read_text()
    pages = {p.stem for p in (DOCS / "api").glob("*.md")} - {"index"}
    assert pages == {"model", *MODULES}
    trees = re.findall(r"^```\{toctree\}\n(.*?)^```$", index, re.DOTALL | re.MULTILINE)
    assert pages == {name for tree in trees for name in re.findall(r"^\w+$", tree, re.MULTILINE)}


def public(cls: type) -> set[str]:
    # Names that end with an underscore are the saved state of a model.
    return {name for name in vars(cls) if not name.startswith("_") and not name.endswith("_")}


def test_model_page_lists_all_methods():
    found = listed("model")
    assert len(found) == len(set(found))
    ours = {n for c in MultiDGD.__mro__ if c.__module__.startswith("multiDGD") for n in public(c)}
    missing = ours - set(found)
    assert not missing
    inherited = set().union(*map(public, MultiDGD.__mro__))
    assert set(found) - {"MultiDGD"} <= inherited
