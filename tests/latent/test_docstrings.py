import doctest
import importlib
import inspect
import pkgutil

import pytest

from multiDGD import latent

MODULES = [f"multiDGD.latent.{m.name}" for m in pkgutil.iter_modules(latent.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_say(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("name", latent.__all__)
def test_every_public_name_is_documented(name):
    cls = getattr(latent, name)
    doc = inspect.getdoc(cls)
    for section in ("Parameters\n-", "Raises\n-", "Examples\n-"):
        assert section in doc
    for parameter in inspect.signature(cls).parameters:
        assert parameter in doc
    for base in cls.__mro__:
        if base.__module__.startswith("multiDGD"):
            for key, member in vars(base).items():
                if not key.startswith("_") and (callable(member) or isinstance(member, property)):
                    assert member.__doc__, f"{base.__name__}.{key}"
