"""pandas objects as plain values and arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd


def table_kind(value: Any) -> str | None:
    """Name of the type of a pandas object, `None` for any other value.

    Parameters
    ----------
    value
        The value.
    """
    return _KINDS.get(type(value))


def table_parts(value: Any) -> list:
    """Split a pandas object into arrays, plain values and simpler pandas objects.

    Parameters
    ----------
    value
        The object.

    Raises
    ------
    TypeError
        If pandas cannot reconstruct a dtype from its name.
    """
    return _PARTS[_KINDS[type(value)]](value)


def join_table(kind: str, parts: list) -> Any:
    """Inverse of :func:`table_parts`.

    Parameters
    ----------
    kind
        Result of :func:`table_kind`.
    parts
        Result of :func:`table_parts`.

    Raises
    ------
    ValueError
        If the kind is unknown.
    """
    if kind not in _JOIN:
        raise ValueError(f"unknown kind of value {kind!r}")
    return _JOIN[kind](*parts)


def string_array(values: np.ndarray) -> Any:
    """Array of the dtype that the installed pandas gives strings: ``str`` since version 3.

    Parameters
    ----------
    values
        Strings and missing values as objects.
    """
    return pd.array(values, dtype=pd.Series([""]).dtype)


def _plain(values: pd.Series | pd.Index) -> Any:
    """A numpy array or categorical; for another dtype, its name and the values as objects."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return values.array
    if isinstance(values.dtype, np.dtype):
        return np.asarray(values)
    name = str(values.dtype)
    if pd.api.types.pandas_dtype(name) != values.dtype:
        raise TypeError(f"pandas cannot find the dtype {values.dtype} by its name")
    return name, np.asarray(values, dtype=object)


def _array(values: Any) -> Any:
    if not isinstance(values, tuple):
        return values
    name, objects = values
    # The dtype `str` of pandas 2 converts missing values to text.
    return string_array(objects) if name == "str" else pd.array(objects, dtype=name)


def _frame_parts(value: pd.DataFrame) -> list:
    columns = [_plain(value.iloc[:, i]) for i in range(value.shape[1])]
    return [value.index, value.columns, columns, value.attrs]


def _frame(index: pd.Index, names: pd.Index, columns: list, attrs: dict) -> pd.DataFrame:
    by_position = {i: _series(index, values, None, {}) for i, values in enumerate(columns)}
    frame = pd.DataFrame(by_position, index=index, columns=range(len(columns)))
    frame.columns = names
    frame.attrs = attrs
    return frame


def _series(index: pd.Index, values: Any, name: Any, attrs: dict) -> pd.Series:
    array = _array(values)
    # Without `dtype`, pandas 3 would convert objects that are strings.
    series = pd.Series(array, index=index, name=name, dtype=array.dtype)
    series.attrs = attrs
    return series


def _index(values: Any, name: Any) -> pd.Index:
    array = _array(values)
    return pd.Index(array, name=name, dtype=array.dtype)


_KINDS: dict[type, str] = {
    pd.DataFrame: "frame",
    pd.Series: "series",
    pd.RangeIndex: "range",
    pd.MultiIndex: "multi",
    pd.Categorical: "categorical",
    **dict.fromkeys((pd.Index, pd.DatetimeIndex, pd.TimedeltaIndex, pd.CategoricalIndex), "index"),
}
_PARTS: dict[str, Callable[[Any], list]] = {
    "frame": _frame_parts,
    "series": lambda s: [s.index, _plain(s), s.name, s.attrs],
    "index": lambda i: [_plain(i), i.name],
    "range": lambda i: [i.start, i.stop, i.step, i.name],
    "multi": lambda i: [list(i.levels), [np.asarray(c) for c in i.codes], list(i.names)],
    "categorical": lambda c: [np.asarray(c.codes), c.categories, bool(c.ordered)],
}
_JOIN: dict[str, Callable[..., Any]] = {
    "frame": _frame,
    "series": _series,
    "index": _index,
    "range": lambda start, stop, step, name: pd.RangeIndex(start, stop, step, name=name),
    "multi": lambda levels, codes, names: pd.MultiIndex(levels=levels, codes=codes, names=names),
    "categorical": lambda codes, categories, ordered: pd.Categorical.from_codes(
        codes, categories=categories, ordered=ordered
    ),
}
