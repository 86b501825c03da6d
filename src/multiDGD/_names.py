"""Names that a user may have meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

import pandas as pd


def nearest(name: object, known: Iterable[object]) -> list[str]:
    """The three known names that are most like one that is not among them."""
    return get_close_matches(str(name), [str(k) for k in known], n=3, cutoff=0.0)


def nearest_columns(name: object, table: pd.DataFrame) -> list[str]:
    """The three columns that are most like a name; those that the setup has added do not count."""
    return nearest(name, [c for c in table.columns if not str(c).startswith("_scvi_")])
