"""Suggestions for misspelt names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

import pandas as pd


def nearest(name: object, known: Iterable[object]) -> list[str]:
    """Three known names closest to ``name``; first the shortest that start with it."""
    given, names = str(name), list(dict.fromkeys(str(k) for k in known))
    longer = [n for n in names if given and n.lower().startswith(given.lower())]
    # CD3E belongs to CD3, whereas CD38 has another number.
    end = len(given)
    longer.sort(key=lambda n: (given[-1:].isdigit() and n[end : end + 1].isdigit(), len(n), n))
    # The number of matches must be positive.
    others = get_close_matches(given, [n for n in names if n not in longer], n=3, cutoff=0.0)
    return [*longer, *others][:3]


def nearest_columns(name: object, table: pd.DataFrame) -> list[str]:
    """Three columns of ``table`` closest to ``name``, without those that scvi-tools added."""
    return nearest(name, own_columns(table))


def own_columns(table: pd.DataFrame) -> list[str]:
    """Columns of ``table`` without those that scvi-tools added."""
    return [column for column in table if not is_copy(column)]


def is_copy(column: object) -> bool:
    """Whether scvi-tools added a column of ``obs``, as a copy of another one."""
    return str(column).startswith("_scvi_")


#: Genome coordinates: chr1-10-20, chr1:10-20, chr1_10_20, 1:10-20, GL000194.1:55-900, ...
COORDINATES = r"^(?P<chrom>\S+?)[:_-](?P<start>\d+)[_-](?P<end>\d+)$"
_PEAK_MODALITIES = {"atac", "peak", "peaks", "accessibility", "chromatin accessibility"}


def are_coordinates(names: Iterable[object]) -> bool:
    """Whether most names are genome coordinates."""
    names = list(names)
    sample = names[:: max(len(names) // 1000, 1)]
    return 2 * sum(re.match(COORDINATES, str(name)) is not None for name in sample) > len(sample)


def has_peaks(modality: str, features: Iterable[object]) -> bool:
    """Whether a modality consists of peaks, by its name and those of its features."""
    return modality.lower().replace("_", " ") in _PEAK_MODALITIES or are_coordinates(features)
