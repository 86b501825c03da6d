"""Annotations of cells as colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import to_hex

from multiDGD.pl._scatter import default_colors as scanpy_colors

from ._bytes import MISSING, pack, quantise
from ._sections import Coloring

#: Okabe & Ito, without black: colours that readers with colour vision deficiency can distinguish.
_ACCESSIBLE = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#B8A800"]
_MAX_CATEGORIES = 100
_RANGE = (0.01, 0.99)


def categories(name: str, values: pd.Series, group: str, given: Sequence[Any]) -> Coloring | None:
    """Colour cells by category; `None` if there are too many categories to distinguish.

    Parameters
    ----------
    name
        Name shown to the reader.
    values
        Category of each cell, of any type; missing values are allowed.
    group
        Heading under which the name is listed.
    given
        Colours of the categories, if there are enough.
    """
    if not isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(object).where(values.notna(), None).astype("category")
    names = [str(c) for c in values.cat.categories]
    if not 1 <= len(names) <= _MAX_CATEGORIES:
        return None
    codes = values.cat.codes.to_numpy().astype(np.int64)
    chosen = given if len(given) >= len(names) else default_colors(len(names))
    colors = [to_hex(color) for color in chosen[: len(names)]]
    data = pack(np.where(codes < 0, MISSING, codes).astype(np.uint8))
    return Coloring(name, "categories", data, names, colors, group=group)


def numbers(name: str, values: np.ndarray, group: str) -> Coloring | None:
    """Colour cells by a number, between its 1st and 99th percentile; `None` without any number.

    Parameters
    ----------
    name
        Name shown to the reader.
    values
        Number of each cell; NaN is missing.
    group
        Heading under which the name is listed.
    """
    values = np.asarray(values, dtype=np.float64)
    values = np.where(np.isfinite(values), values, np.nan)
    if np.isnan(values).all():
        return None
    low, high = (float(q) for q in np.nanquantile(values, _RANGE))
    return Coloring(
        name, "numbers", pack(quantise(values, low, high)), low=low, high=high, group=group
    )


def default_colors(n: int) -> list[str]:
    """Colours of ``n`` categories: Okabe & Ito's if they suffice, otherwise scanpy's.

    Parameters
    ----------
    n
        Number of categories, at most 100.
    """
    colors = _ACCESSIBLE if n <= len(_ACCESSIBLE) else scanpy_colors(n)
    return colors[:n]
