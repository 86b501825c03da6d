"""Encoding of categorical columns, and matching of categories across types."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd

from ._checks import listed

_INTEGRAL = re.compile(r"[+-]?\d+\.0*")
_TRUTH = {"true": "1", "false": "0"}


def find_categories(values: pd.Series, categories: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Encode values as positions among known categories, and list the unknown values.

    A value of another type (``"1"``, ``1.0`` or ``True`` for 1, bytes for text) matches a category
    if their texts are equal and no two categories share a text.

    Parameters
    ----------
    values
        Shape ``(n,)``.
    categories
        Known categories.

    Returns
    -------
    Codes, -1 where unknown or missing, shape ``(n,)``, and the unknown values, sorted.
    """
    codes, distinct = distinct_values(values)
    position = match_positions(distinct, list(categories))
    unknown = [value for value, at in zip(distinct, position, strict=True) if at < 0]
    # The last entry is that of missing values, whose code is -1.
    return np.append(position, -1)[codes], _as_objects(sorted(unknown, key=text_of))


def encode_categories(values: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Encode values as codes and categories, without empty categories that subsetting left.

    Parameters
    ----------
    values
        Shape ``(n,)``.

    Returns
    -------
    Codes, -1 where missing, shape ``(n,)``, and the categories.
    """
    column = values.astype("category").cat.remove_unused_categories()
    categories = list(column.cat.categories)
    if any(isinstance(category, bytes) for category in categories):
        return column.cat.codes.to_numpy(np.int64), _as_objects(map(text_of, categories))
    return column.cat.codes.to_numpy(np.int64), column.cat.categories.to_numpy(copy=True)


def add_categories(
    values: pd.Series, categories: np.ndarray
) -> tuple[np.ndarray, np.ndarray, int]:
    """Encode values and append the unknown ones to the categories.

    All categories become text, unless all of them are integers.

    Parameters
    ----------
    values
        Shape ``(n,)``.
    categories
        Known categories.

    Returns
    -------
    Codes, shape ``(n,)``, the extended categories, and the number of appended ones.
    """
    _, unknown = find_categories(values, categories)
    before = len(categories)
    if len(unknown):
        categories = _of_one_type([*categories, *unknown])
    codes, _ = find_categories(values, categories)
    return codes, categories, len(categories) - before


def check_categories(obs: pd.DataFrame, key: str, argument: str, categories: np.ndarray) -> None:
    """Raise if a column contains a category that the model was not trained on.

    Raises
    ------
    ValueError
        The message names the category, the column and the method that learns new categories.
    """
    _, unknown = find_categories(obs[key], categories)
    if len(unknown):
        raise ValueError(
            f"`{argument}`: {listed(unknown)} of `obs[{key!r}]` is not among the categories of "
            f"the model: {listed(categories, 5)}. Use `MultiDGD.load_query_data(adata, model)` to "
            "learn new categories, or set up the data and train again."
        )


def text_of(value: object) -> str:
    """Text of a category: the same for 1, 1.0 and "1", and for bytes and text."""
    if isinstance(value, (bytes, np.bytes_)):
        return value.decode(errors="replace")
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _typed(value: object) -> str:
    kind = "text" if isinstance(value, (str, bytes)) else "other"
    return f"{kind} {text_of(value)}"


def _number(value: object) -> str:
    """Text of a category in which truth values and integral numbers are integers."""
    text = text_of(value)
    if _INTEGRAL.fullmatch(text):
        return str(int(text[: text.index(".")]))
    return _TRUTH.get(text.lower(), text)


def match_positions(values: Sequence[object], categories: Sequence[object]) -> np.ndarray:
    """Position of each value among the categories, -1 for others, shape ``(n,)``."""
    position = np.full(len(values), -1)
    forms: tuple[Callable[[object], str], ...] = (_typed, text_of, _number)
    for form in forms:
        left = np.flatnonzero(position < 0)
        known = pd.Index([form(category) for category in categories], dtype=object)
        if len(left) and known.is_unique:
            position[left] = known.get_indexer([form(values[int(i)]) for i in left])
    return position


def distinct_values(values: pd.Series) -> tuple[np.ndarray, list[object]]:
    """Codes, -1 where missing, and the values that they count."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        column = values.cat.remove_unused_categories()
        return column.cat.codes.to_numpy(np.int64), list(column.cat.categories)
    codes, distinct = pd.factorize(values.astype(object))
    return codes, list(distinct)


def _of_one_type(categories: Sequence[object]) -> np.ndarray:
    """Convert categories to text unless all are integers, without repeats."""
    if all(isinstance(c, (int, np.integer)) and not isinstance(c, bool) for c in categories):
        return _as_objects(dict.fromkeys(categories))
    return _as_objects(dict.fromkeys(map(text_of, categories)))


def _as_objects(values: Iterable[object]) -> np.ndarray:
    found = list(values)
    array = np.empty(len(found), dtype=object)
    array[:] = found
    return array
