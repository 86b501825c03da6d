"""Methods and arguments of scvi-tools' multi-omics models that have another form here.

``scvi_api.csv`` lists all public methods and arguments of SCVI, TOTALVI and MULTIVI, and the items
of ``plan_kwargs``. The status of each is "same", "different" (the note is the difference), or
"refused" (the note is the alternative). In notes, ``<value>`` stands for the value of the argument.
"""

from __future__ import annotations

import csv
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from importlib.resources import files
from typing import Any, NamedTuple, NoReturn, TypeVar

from multiDGD._names import nearest

C = TypeVar("C", bound=type)

#: The argument ``plan_kwargs`` of ``train``, among the methods of the table.
PLAN = "train(plan_kwargs)"


class Entry(NamedTuple):
    """A method of scvi-tools, or one of its parameters."""

    method: str
    #: Empty for the method itself.
    parameter: str
    models: str
    status: str
    note: str


@functools.cache
def scvi_api() -> tuple[Entry, ...]:
    """Read all entries of the table."""
    lines = files(__package__).joinpath("scvi_api.csv").read_text(encoding="utf-8").splitlines()
    return tuple(Entry(*row) for row in list(csv.reader(lines))[1:])


def check_names(
    owner: str,
    given: Mapping[str, Any],
    alternatives: Mapping[str, str],
    names: Iterable[str] | None,
) -> None:
    """Check the names of arguments.

    Parameters
    ----------
    owner
        Beginning of the message, such as ``"train() has no argument"``.
    given
        Values of the arguments by name.
    alternatives
        Alternatives to the refused arguments.
    names
        All accepted names; `None` if they are checked elsewhere.

    Raises
    ------
    TypeError
        If an argument is refused or unknown. The message contains the alternative or the nearest
        names.
    """
    refused = [
        f"`{name}`: {alternatives[name].replace('<value>', repr(value))}."
        for name, value in given.items()
        if name in alternatives
    ]
    if refused:
        raise TypeError(f"{owner} " + " Nor has it ".join(refused))
    for name in given:
        if names is not None and name not in (known := list(names)):
            raise TypeError(f"{owner} `{name}`. Nearest: {nearest(name, known)}.")


def refused_arguments() -> dict[str, dict[str, str]]:
    """Alternatives to the refused arguments, by method and argument."""
    found: dict[str, dict[str, str]] = {}
    for entry in scvi_api():
        if entry.status == "refused" and entry.parameter:
            found.setdefault(entry.method, {})[entry.parameter] = entry.note
    return found


def refuse_other_forms(cls: C) -> C:
    """Refuse the methods and arguments of the table in a class, and name their alternatives."""
    methods = {e.method: e.note for e in scvi_api() if e.status == "refused" and not e.parameter}
    arguments = refused_arguments()
    del arguments[PLAN]  # checked by `train`
    for name, alternatives in arguments.items():
        method = inspect.getattr_static(cls, name)
        if isinstance(method, classmethod):
            setattr(cls, name, classmethod(_checked(method.__func__, alternatives)))
        else:
            setattr(cls, name, _checked(method, alternatives))

    def missing(self: object, name: str) -> NoReturn:
        other = f": {methods[name]}" if name in methods else ""
        raise AttributeError(
            f"{cls.__name__!r} object has no attribute {name!r}{other}", name=name, obj=self
        )

    cls.__getattr__ = missing  # type: ignore[attr-defined]
    for name in methods:
        # Methods of scvi-tools' base class, and setup methods of its later versions, which are
        # called on the class.
        if hasattr(cls, name) or name.startswith("setup_"):
            setattr(cls, name, _refused(cls.__name__, name, methods[name]))
    return cls


def _checked(method: Callable[..., Any], alternatives: dict[str, str]) -> Callable[..., Any]:
    """Method that refuses some arguments, and names the nearest of misspelt ones."""
    parameters = inspect.signature(method).parameters
    accepts_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    names = [name for name in parameters if name not in ("self", "cls")]
    owner = f"{method.__name__}() has no argument"

    @functools.wraps(method)
    def checked(*args: Any, **kwargs: Any) -> Any:
        check_names(owner, kwargs, alternatives, None if accepts_all else names)
        return method(*args, **kwargs)

    return checked


def _refused(owner: str, name: str, alternative: str) -> classmethod:
    """Class method that refuses every call."""

    def refused(cls: type, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(f"{owner} has no method `{name}`: {alternative}.")

    refused.__name__ = name
    refused.__doc__ = f"Refuse the method of scvi-tools: {alternative}."
    return classmethod(refused)
