"""Groups of cells to compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from multiDGD._names import nearest, own_columns
from multiDGD.data import find_categories, logger
from multiDGD.model.core._columns import column_of

_REST = "Rest"


@dataclass(frozen=True)
class Comparison:
    """Two groups of cells.

    Attributes
    ----------
    first, second
        Categories of the cells in each group.
    name1, name2
        Names of the groups; `None` for groups defined by indices.
    """

    first: list[int]
    second: list[int]
    name1: Any = None
    name2: Any = None

    @property
    def label(self) -> str:
        """Names of both groups."""
        return "idx1 vs idx2" if self.name1 is None else f"{self.name1} vs {self.name2}"


class Groups(NamedTuple):
    """Cells and comparisons of a differential test.

    Attributes
    ----------
    codes
        Category of each cell, -1 for none, shape ``(n,)``.
    comparisons
        Comparisons of categories.
    are_all
        Whether the first groups are all groups of a column, and not chosen by name.
    """

    codes: np.ndarray
    comparisons: list[Comparison]
    are_all: bool


def read_groups(
    obs: pd.DataFrame,
    groupby: str | None,
    group1: Any,
    group2: Any,
    idx1: Any,
    idx2: Any,
) -> Groups:
    """Read the cells and comparisons from the arguments of a method.

    Parameters
    ----------
    obs
        Annotations of all cells.
    groupby, group1, group2, idx1, idx2
        As for :meth:`multiDGD.MultiDGD.differential_expression`.

    Raises
    ------
    ValueError
        If a column or group does not exist, or groups overlap.
    """
    if idx2 is not None and idx1 is None:
        raise ValueError("`idx2` requires `idx1`, the cells to compare with those of `idx2`.")
    if idx1 is not None:
        if groupby is not None:
            # As in scvi-tools.
            logger.info("`groupby` is ignored: `idx1` chooses the cells")
        return _by_index(obs, idx1, idx2)
    if groupby is None:
        raise ValueError("`groupby` or `idx1` is required to choose the cells to compare.")
    column = pd.Categorical(column_of(obs, "groupby", groupby))
    if group1 is None:
        column = column.remove_unused_categories()
    names = list(column.categories)
    codes = np.asarray(column.codes, dtype=np.int64)
    if group2 is not None:
        if pd.api.types.is_list_like(group2):
            raise ValueError(f"`group2` must be the name of one group, found {group2!r}.")
        (group2,) = _resolve_names(names, "group2", groupby, [group2])
    if group1 is None:
        first_names = [name for name in names if name != group2]
    else:
        is_one = isinstance(group1, str) or not isinstance(
            group1, Sequence | np.ndarray | pd.Index
        )
        first_names = _resolve_names(
            names, "group1", groupby, [group1] if is_one else list(group1)
        )
    if len(names) < 2:
        raise ValueError(
            f"`groupby`: obs[{groupby!r}] must have at least 2 categories, found {names}."
        )
    if not first_names:
        raise ValueError("`group1` must name at least one group, found none.")
    if group2 in first_names:
        raise ValueError(f"`group2`: {group2!r} is also in `group1`.")
    if group2 is None and (codes < 0).any():
        # As in scvi-tools, cells without a category belong to the rest.
        codes = np.where(codes < 0, len(names), codes)
    categories = range(codes.max() + 1)
    comparisons = []
    for name in first_names:
        first = names.index(name)
        if group2 is None:
            comparisons.append(
                Comparison([first], [c for c in categories if c != first], name, _REST)
            )
        else:
            comparisons.append(Comparison([first], [names.index(group2)], name, group2))
    return Groups(codes, comparisons, group1 is None)


def _resolve_names(names: list[Any], argument: str, groupby: str, given: list[Any]) -> list[Any]:
    """Categories with the given names; the name of a number may be a string."""
    at, _ = find_categories(pd.Series(given, dtype=object), np.array(names, dtype=object))
    for name, position in zip(given, at, strict=True):
        if position < 0:
            raise ValueError(
                f"`{argument}`: {name!r} is not in obs[{groupby!r}]. Nearest names: "
                f"{nearest(name, names)}."
            )
    return [names[position] for position in at]


def _by_index(obs: pd.DataFrame, idx1: Any, idx2: Any) -> Groups:
    first = _mask(obs, "idx1", idx1)
    second = ~first if idx2 is None else _mask(obs, "idx2", idx2)
    both = int((first & second).sum())
    if both:
        raise ValueError(f"`idx1` and `idx2` must not overlap, found {both} cells in both.")
    codes = np.where(first, 0, np.where(second, 1, -1))
    return Groups(codes, [Comparison([0], [1])], False)


def _mask(obs: pd.DataFrame, argument: str, idx: Any) -> np.ndarray:
    """Mask of the cells in a query, a mask or positions."""
    if isinstance(idx, str):
        try:
            return obs.index.isin(obs.query(idx).index)
        except Exception as error:
            raise ValueError(
                f"`{argument}`: obs.query({idx!r}) failed: {error}. Columns: {own_columns(obs)}."
            ) from error
    found = np.asarray(idx).ravel()
    if found.dtype == bool:
        if len(found) != len(obs):
            raise ValueError(f"`{argument}` must have {len(obs)} entries, found {len(found)}.")
        return found
    if len(found) and not np.issubdtype(found.dtype, np.integer):
        raise ValueError(
            f"`{argument}` must be a query, a mask or positions, found {found.dtype} values."
        )
    if len(found) and (found.min() < -len(obs) or found.max() >= len(obs)):
        raise ValueError(f"`{argument}` has positions beyond the {len(obs)} cells.")
    mask = np.zeros(len(obs), dtype=bool)
    mask[found.astype(int)] = True
    return mask
