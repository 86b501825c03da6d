"""Columns of `obs` named in arguments."""

from __future__ import annotations

import pandas as pd

from multiDGD._names import nearest_columns
from multiDGD.data import check_unique_column


def column_of(obs: pd.DataFrame, argument: str, name: str) -> pd.Series:
    """Column of ``obs`` with the name given by an argument.

    Parameters
    ----------
    obs
        Annotation of all cells.
    argument
        Name of the argument, for error messages.
    name
        Name of the column.

    Raises
    ------
    ValueError
        If ``name`` is not a string, or not the name of exactly one column of ``obs``.
    """
    if not isinstance(name, str):
        kind = f"a {type(name).__name__}" if pd.api.types.is_list_like(name) else repr(name)
        raise ValueError(f"`{argument}` must be the name of a column of `obs`, found {kind}.")
    if name not in obs:
        raise ValueError(
            f"`{argument}`: {name!r} is not a column of `obs`. Nearest names: "
            f"{nearest_columns(name, obs)}."
        )
    check_unique_column(obs, name, argument, "`obs`")
    return obs[name]
