"""Numbers of cells and samples in the groups of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from multiDGD.data import logger

from ._groups import Comparison

_MIN_CELLS = 3
_MIN_SAMPLES = 2


def check_sizes(
    comparisons: Sequence[Comparison], strata: np.ndarray, n_samples: int, sample_key: str | None
) -> None:
    """Raise if a group has too few cells or samples.

    Parameters
    ----------
    comparisons
        The comparisons.
    strata
        For each cell, ``category * n_samples + sample``, or -1 if the cell is ignored.
    n_samples
        Number of samples.
    sample_key
        Column of the samples; `None` if cells are the replicates.

    Raises
    ------
    ValueError
        The message names the argument, the group and its size.
    """
    for comparison in comparisons:
        for argument, group, name in (
            ("group1", comparison.first, comparison.name1),
            ("group2", comparison.second, comparison.name2),
        ):
            problem = _problem(group, strata, n_samples, sample_key)
            if problem is not None:
                which = f"`{argument}`" if name is None else f"`{argument}` {name!r}"
                raise ValueError(f"{which} has {problem} are needed.")


def large_enough(
    comparisons: Sequence[Comparison], strata: np.ndarray, n_samples: int, sample_key: str | None
) -> tuple[list[Comparison], list[Any]]:
    """Select the comparisons whose first group has enough cells and samples.

    The other groups are named in one logged warning.

    Parameters
    ----------
    comparisons, strata, n_samples, sample_key
        As for :func:`check_sizes`.

    Returns
    -------
    The comparisons, and the names of the omitted groups.

    Raises
    ------
    ValueError
        If no comparison remains.
    """
    kept: list[Comparison] = []
    omitted: dict[Any, str] = {}
    for comparison in comparisons:
        problem = _problem(comparison.first, strata, n_samples, sample_key)
        if problem is None:
            kept.append(comparison)
        else:
            omitted[comparison.name1] = problem
    if not kept:
        name, problem = next(iter(omitted.items()))
        raise ValueError(
            f"`groupby`: no group is large enough; {name!r} has {problem} are needed."
        )
    if omitted:
        needed = f"{_MIN_CELLS} cells with counts in the modality"
        if sample_key is not None:
            needed += f" and {_MIN_SAMPLES} samples of `sample_key`"
        names = ", ".join(map(repr, omitted))
        logger.warning(
            "%s omitted: %s. At least %s are needed.",
            "1 group is too small and is"
            if len(omitted) == 1
            else f"{len(omitted)} groups are too small and are",
            names,
            needed,
        )
    return kept, list(omitted)


def _problem(
    group: Sequence[int], strata: np.ndarray, n_samples: int, sample_key: str | None
) -> str | None:
    """Size of a group that is too small, otherwise `None`."""
    members = strata[np.isin(strata // n_samples, group) & (strata >= 0)]
    if len(members) < _MIN_CELLS:
        return f"{len(members)} cells with counts in the modality; at least {_MIN_CELLS}"
    found = len(np.unique(members % n_samples))
    if sample_key is not None and found < _MIN_SAMPLES:
        return f"cells from {found} sample of `sample_key` {sample_key!r}; at least {_MIN_SAMPLES}"
    return None
