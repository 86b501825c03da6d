"""Shallow copies of modules."""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import nn

M = TypeVar("M", bound=nn.Module)


def shallow_copy(module: M) -> M:
    """Copy a module but share its parts, which can then be replaced in the copy.

    Parameters
    ----------
    module
        The module, left unchanged.
    """
    copied = copy.copy(module)
    for name in ("_modules", "_parameters", "_buffers"):
        copied.__dict__[name] = dict(module.__dict__[name])
    return copied
