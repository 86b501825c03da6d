"""Encoding of categorical columns, and the detection of unknown categories."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ._checks import listed


def find_categories(values: pd.Series, categories: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Encode values as positions among known categories, and list the unknown values.

    A value of another type (``"1"`` for 1) matches a category if their strings are equal and no
    two categories share a string.

    Parameters
    ----------
    values
        Shape ``(n,)``.
    categories
        Known categories.

    Returns
    -------
    Codes, -1 where unknown, shape ``(n,)``, and the unknown values, sorted.
    """
    column = values.astype(object)
    codes = pd.Index(categories, dtype=object).get_indexer(column)
    strings = pd.Index([str(c) for c in categories])
    if (codes < 0).any() and strings.is_unique:
        at = codes < 0
        codes[at] = strings.get_indexer([str(v) for v in column[at]])
    unknown = pd.unique(column[codes < 0])
    return codes, np.array(sorted(unknown, key=str), dtype=object)


def encode_categories(values: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Encode values as codes and categories, without empty categories that subsetting left.

    Parameters
    ----------
    values
        Shape ``(n,)``.

    Returns
    -------
    Codes, shape ``(n,)``, and the categories.
    """
    column = values.astype("category").cat.remove_unused_categories()
    return column.cat.codes.to_numpy(np.int64), column.cat.categories.to_numpy(copy=True)


def add_categories(
    values: pd.Series, categories: np.ndarray
) -> tuple[np.ndarray, np.ndarray, int]:
    """Encode values and append the unknown ones to the categories.

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
    if len(unknown):
        categories = np.concatenate([np.asarray(categories, dtype=object), unknown])
    codes, _ = find_categories(values, categories)
    return codes, categories, len(unknown)


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
            "learn new categories."
        )
