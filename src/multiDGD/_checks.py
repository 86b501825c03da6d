"""Checks of single arguments; every error names the argument."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from numbers import Integral, Real
from types import FrameType
from typing import Any


def integer(name: str, value: Any, least: int = 0) -> int:
    """Return ``value`` as an int, or raise ``ValueError`` unless it is an integer >= ``least``."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"`{name}` must be an integer of at least {least}, found {value!r}.")
    return int(value)


def positive_int(name: str, value: Any) -> int:
    """Return ``value`` as an int, or raise ``ValueError`` unless it is an integer above 0."""
    return integer(name, value, 1)


def finite(name: str, value: Any) -> float:
    """Return ``value`` as a float, or raise ``ValueError`` unless it is a finite number."""
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise ValueError(f"`{name}` must be a finite number, found {value!r}.")
    return float(value)


def positive(name: str, value: Any) -> float:
    """Return ``value`` as a float, or raise ``ValueError`` unless it is finite and above 0."""
    number = finite(name, value)
    if number <= 0:
        raise ValueError(f"`{name}` must be a number above 0, found {value!r}.")
    return number


def pair(name: str, meaning: str, value: Any) -> tuple[Any, Any]:
    """Return ``value`` as a 2-tuple, or raise ``ValueError`` with the ``meaning`` of both values."""
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        raise ValueError(f"`{name}` must be a pair {meaning}, found {value!r}.")
    return value[0], value[1]


def choice(name: str, value: Any, allowed: Sequence[str], other: str = "") -> str:
    """Return ``value``, or raise ``ValueError`` unless it is one of the ``allowed`` strings.

    ``other`` describes what else the argument accepts, such as ``" or an array"``.
    """
    if not isinstance(value, str) or value not in allowed:
        options = ", ".join(repr(option) for option in allowed)
        which = "one of " if len(allowed) > 1 else ""
        raise ValueError(f"`{name}` must be {which}{options}{other}, found {value!r}.")
    return value


def caller_level() -> int:
    """Stack level, for a warning, of the first caller outside of this package and scvi-tools."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and _is_internal(frame):
        frame, level = frame.f_back, level + 1
    return level


def _is_internal(frame: FrameType) -> bool:
    name = str(frame.f_globals.get("__name__", ""))
    return name.partition(".")[0] in ("multiDGD", "scvi")
