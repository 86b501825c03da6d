"""Names of methods in error messages, and arguments of scvi-tools that have another form here."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import FunctionType
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
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


def instead(**alternatives: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Refuse arguments of the same method of scvi-tools, and name the alternative.

    Parameters
    ----------
    **alternatives
        What to do instead, by name of the argument.

    Examples
    --------
    >>> from multiDGD.model.core._public_names import instead
    >>> @instead(weights="select cells by `indices`")
    ... def decode(cells):
    ...     return cells
    >>> decode(3)
    3
    >>> decode(3, weights="importance")
    Traceback (most recent call last):
    TypeError: decode() has no argument `weights`: select cells by `indices`.
    """

    def decorate(method: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(method)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            for argument in kwargs:
                if argument in alternatives:
                    raise TypeError(
                        f"{method.__name__}() has no argument `{argument}`: "
                        f"{alternatives[argument]}."
                    )
            return method(*args, **kwargs)

        return checked

    return decorate
