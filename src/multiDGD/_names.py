"""Names that a user may have meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: object, known: Iterable[object]) -> list[str]:
    """The three of some names that are most like one that is not there."""
    return get_close_matches(str(name), [str(k) for k in known], n=3, cutoff=0.0)
