"""All docstring examples run, and every public name has a docstring."""

import doctest
import importlib
import inspect
import pkgutil

import matplotlib.pyplot as plt
import pytest

import multiDGD

MODULES = [
    name
    for _, name, _ in pkgutil.walk_packages(multiDGD.__path__, "multiDGD.")
    if not name.endswith(("__main__", "._triton_kernels"))  # the latter requires Triton
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plt, "show", lambda: None)
    result = doctest.testmod(
        importlib.import_module(name),
        optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS,
    )
    assert result.failed == 0


@pytest.mark.parametrize(
    "name",
    [
        "multiDGD",
        "latent",
        "nn",
        "init",
        "module",
        "datasets",
        "pl",
        "train",
        "inference",
        "stats",
        "legacy",
    ],
)
def test_public_names_have_docstrings(name):
    module = multiDGD if name == "multiDGD" else importlib.import_module(f"multiDGD.{name}")
    for public in module.__all__:
        thing = getattr(module, public)
        if not (inspect.isclass(thing) or inspect.isfunction(thing)):
            continue
        assert inspect.getdoc(thing), public
        if inspect.isclass(thing):
            for attribute, member in vars(thing).items():
                if not attribute.startswith("_") and inspect.isfunction(member):
                    assert inspect.getdoc(getattr(thing, attribute)), f"{public}.{attribute}"
