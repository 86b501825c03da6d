"""Columns of `obs` that users name."""

from __future__ import annotations

import pandas as pd

from multiDGD._names import nearest_columns


def column_of(obs: pd.DataFrame, argument: str, name: str) -> pd.Series:
    """A column that the user named.

    Parameters
    ----------
    obs
        Annotation of all cells.
    argument
        By which it was named.
    name
        Its name.

    Raises
    ------
    ValueError
        If it is no name, or not there.
    """
    if not isinstance(name, str):
        raise ValueError(f"`{argument}` must be the name of a column, found {name!r}.")
    if name not in obs:
        raise ValueError(
            f"`{argument}`: {name!r} is not in obs. Nearest names: {nearest_columns(name, obs)}."
        )
    return obs[name]
