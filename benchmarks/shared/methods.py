"""A compared method of a page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.shared.data import Dataset


@dataclass(frozen=True)
class Method:
    """A method, its title in tables, and the data sets to which it applies.

    ``run`` is a function of the page's task that returns the page's fit.
    """

    title: str
    run: Callable[[Any], Any]
    applies: Callable[[Dataset], bool] = lambda data: True
    has_epochs: bool = False
    is_in_other_environment: bool = False
