"""What differs between versions of mudata."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import mudata


def without_pulling() -> AbstractContextManager[Any]:
    """Put modalities together without copies of their columns.

    The default of mudata 0.4, which has no such option any more.
    """
    set_options = getattr(mudata, "set_options", None)
    return nullcontext() if set_options is None else set_options(pull_on_update=False)
