"""Compatibility with several versions of mudata."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import mudata


def without_pulling() -> AbstractContextManager[Any]:
    """Return a context in which a MuData does not copy the columns of its modalities.

    This is the default of mudata 0.4, which has no such option.
    """
    set_options = getattr(mudata, "set_options", None)
    return nullcontext() if set_options is None else set_options(pull_on_update=False)
