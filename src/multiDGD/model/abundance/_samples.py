"""Samples of cells, and the groups of samples to compare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from multiDGD.data import listed, logger
from multiDGD.model.core._columns import column_of
from multiDGD.model.differential._groups import read_groups

_MIN_SAMPLES = 2


@dataclass(frozen=True)
class Samples:
    """Sample of each cell.

    Attributes
    ----------
    codes
        Sample of each cell, -1 for none, shape ``(n,)``.
    names
        Names of the samples.
    """

    codes: np.ndarray
    names: np.ndarray


@dataclass(frozen=True)
class SampleComparison:
    """Two groups of samples.

    Attributes
    ----------
    first, second
        Positions of the samples of each group.
    name1, name2
        Names of the groups.
    """

    first: np.ndarray
    second: np.ndarray
    name1: Any
    name2: Any

    @property
    def samples(self) -> np.ndarray:
        """Positions of all samples, those of the first group first."""
        return np.concatenate([self.first, self.second])

    @property
    def is_first(self) -> np.ndarray:
        """Mask of the first group among :attr:`samples`."""
        return np.arange(len(self.samples)) < len(self.first)


def read_samples(obs: pd.DataFrame, sample_key: str | None) -> Samples:
    """Read the sample of each cell.

    Parameters
    ----------
    obs
        Annotations of all cells.
    sample_key
        Column of the samples.

    Raises
    ------
    ValueError
        If the column is missing or has fewer than two samples.
    """
    if sample_key is None:
        raise ValueError(
            "`sample_key` is required: the column of obs with the sample (donor, animal) of each "
            "cell."
        )
    codes, names = _encoded(column_of(obs, "sample_key", sample_key))
    if len(names) < _MIN_SAMPLES:
        raise ValueError(
            f"`sample_key`: obs[{sample_key!r}] must have at least {_MIN_SAMPLES} samples, found "
            f"{list(names)}."
        )
    return Samples(codes, names)


def read_comparisons(
    obs: pd.DataFrame, samples: Samples, groupby: str, group1: Any, group2: Any
) -> tuple[list[SampleComparison], list[Any]]:
    """Read the groups of samples to compare.

    Parameters
    ----------
    obs
        Annotations of all cells.
    samples
        Samples of the cells.
    groupby, group1, group2
        As for :meth:`multiDGD.MultiDGD.differential_abundance`.

    Returns
    -------
    The comparisons, and the names of groups that are omitted because they have too few samples.

    Raises
    ------
    ValueError
        If a column or group does not exist, differs within a sample, or has too few samples.
    """
    group_of_sample = _constant_in_samples(obs, samples, groupby)
    groups = read_groups(group_of_sample, groupby, group1, group2, None, None)
    comparisons, omitted = [], []
    for found in groups.comparisons:
        first, second = (
            np.flatnonzero(np.isin(groups.codes, side)) for side in (found.first, found.second)
        )
        if groups.are_all and len(first) < _MIN_SAMPLES:
            omitted.append(found.name1)
            continue
        for argument, name, side in (
            ("group1", found.name1, first),
            ("group2", found.name2, second),
        ):
            if len(side) < _MIN_SAMPLES:
                raise ValueError(
                    f"`{argument}` {name!r} needs at least {_MIN_SAMPLES} samples, found "
                    f"{len(side)}: samples are the replicates."
                )
        comparisons.append(SampleComparison(first, second, found.name1, found.name2))
    if not comparisons:
        raise ValueError(
            f"`groupby`: no group of obs[{groupby!r}] has at least {_MIN_SAMPLES} samples."
        )
    if omitted:
        logger.warning(
            "Groups with fewer than %d samples are omitted: %s.", _MIN_SAMPLES, listed(omitted)
        )
    return comparisons, omitted


def _encoded(column: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Category of each cell, -1 if missing, and the categories that occur."""
    found = pd.Categorical(column).remove_unused_categories()
    return np.asarray(found.codes, dtype=np.int64), np.asarray(found.categories)


def _constant_in_samples(obs: pd.DataFrame, samples: Samples, groupby: str) -> pd.DataFrame:
    """Group of each sample, as a table with the samples as rows."""
    column = column_of(obs, "groupby", groupby)
    is_used = samples.codes >= 0
    codes, names = _encoded(column[is_used])
    pairs = np.unique(np.stack([samples.codes[is_used], codes], axis=1), axis=0)
    sample, first, count = np.unique(pairs[:, 0], return_index=True, return_counts=True)
    if (count > 1).any():
        bad = sample[count > 1][0]
        found = [names[c] if c >= 0 else None for c in pairs[pairs[:, 0] == bad, 1]]
        raise ValueError(
            f"`groupby`: obs[{groupby!r}] must be constant within each sample, found {found} in "
            f"sample {samples.names[bad]!r}."
        )
    values = pd.Categorical.from_codes(pairs[first, 1], categories=pd.Index(names))
    return pd.DataFrame({groupby: values}, index=pd.Index(samples.names))
