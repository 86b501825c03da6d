"""Modules that share their parts with another."""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import nn

M = TypeVar("M", bound=nn.Module)


def shallow_copy(module: M) -> M:
    """Copy a module but not its parts, of which the copy may then be given others.

    Parameters
    ----------
    module
        The module, which is left as it is.
    """
    found = copy.copy(module)
    for name in ("_modules", "_parameters", "_buffers"):
        found.__dict__[name] = dict(module.__dict__[name])
    return found
