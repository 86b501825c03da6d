"""Every imported package is declared in ``pyproject.toml``."""

import ast
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
INSTALLED = packages_distributions()
# Packages that a declared requirement installs in the one version it works with.
INSTALLED_BY = {
    "triton": "torch",  # by its builds for CUDA only; imported on a CUDA device only
}
# Extras whose packages a folder may import, lazily in the case of `src`.
EXTRAS = {
    "src": {"atlas", "datasets", "demo", "hub"},
    "tests": {"autotune", "datasets", "hub", "ray", "test", "tutorials"},
    "docs": {"doc"},
    "benchmarks": {"atlas", "benchmarks", "benchmarks-milo", "benchmarks-other", "browser"},
}


class Import(NamedTuple):
    """The top-level name of an imported package, and whether the module always imports it."""

    name: str
    always: bool


def imports(tree: ast.AST, always: bool = True) -> Iterator[Import]:
    """Absolute imports of a module, including those in functions."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name.split(".")[0], always) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level == 0 and node.module:
                yield Import(node.module.split(".")[0], always)
        else:
            # An import below an `if` is one for type checkers.
            lazy = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.If)
            yield from imports(node, always and not lazy)


def third_party(folder: Path) -> dict[Import, Path]:
    """Imports of other packages, each with a file that has it."""
    files = sorted(folder.rglob("*.py"))
    # Scripts import their neighbours by name; modules of the package do not.
    local = set() if folder.name == "src" else {p.stem for p in folder.rglob("*")}
    ours = {"multiDGD", folder.name, *sys.stdlib_module_names, *local}
    return {
        found: file
        for file in files
        for found in imports(ast.parse(file.read_text()))
        if found.name not in ours
    }


def declared(*extras: str) -> set[str]:
    """Normalised names of required distributions."""
    groups = PROJECT["optional-dependencies"]
    lists = [PROJECT["dependencies"], *(groups[extra] for extra in extras)]
    return {canonicalize_name(Requirement(entry).name) for group in lists for entry in group}


def distributions(package: str) -> set[str]:
    """Distributions that provide a package; the package's own name where it is not installed."""
    names = (
        [INSTALLED_BY[package]] if package in INSTALLED_BY else INSTALLED.get(package, [package])
    )
    return set(map(canonicalize_name, names))


@pytest.mark.parametrize("folder", EXTRAS)
def test_imports_are_declared(folder):
    if not (ROOT / folder).is_dir():
        pytest.skip(f"the archive has no `{folder}`")
    found = third_party(ROOT / folder)
    assert found
    lazily = declared(*EXTRAS[folder])
    required = declared() if folder == "src" else lazily
    missing = {
        name: file.relative_to(ROOT).as_posix()
        for (name, always), file in found.items()
        if not distributions(name) & (required if always else lazily)
    }
    assert not missing
