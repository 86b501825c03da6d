"""Names of methods in error messages."""

from __future__ import annotations

from types import FunctionType
from typing import TypeVar

C = TypeVar("C", bound=type)


def name_methods(cls: C) -> C:
    """Name the methods that a class inherits from this package after the class.

    Python's message about an unexpected argument otherwise contains the name of a mixin.
    """
    for base in cls.__mro__:
        if base.__module__.startswith("multiDGD."):
            for name, method in vars(base).items():
                function = getattr(method, "__func__", method)
                while isinstance(function, FunctionType):
                    function.__qualname__ = f"{cls.__name__}.{name}"
                    function = getattr(function, "__wrapped__", None)
    return cls
