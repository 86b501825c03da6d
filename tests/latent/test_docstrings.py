import inspect

import pytest

from multiDGD import latent


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
