"""Suggestions for misspelt names."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

import pandas as pd


def nearest(name: object, known: Iterable[object]) -> list[str]:
    """Three known names closest to ``name``."""
    return get_close_matches(str(name), [str(k) for k in known], n=3, cutoff=0.0)


def nearest_columns(name: object, table: pd.DataFrame) -> list[str]:
    """Three columns of ``table`` closest to ``name``, without those that scvi-tools added."""
    return nearest(name, [c for c in table.columns if not str(c).startswith("_scvi_")])
