"""Checks of columns, names and counts of AnnData and MuData objects."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from mudata import MuData

from multiDGD._checks import caller_level
from multiDGD._log import logger
from multiDGD._names import nearest_columns
from multiDGD.nn import Counts

from ._matrix_reader import MatrixReader

# About half of all large fragment counts are even, and fewer of the small ones (most are 1). Reads
# come in pairs, so nearly all read counts are even.
_READ_EVEN_SHARE = 0.7


def listed(names: Sequence[object] | np.ndarray | pd.Index, n: int = 3) -> str:
    """Format the first ``n`` names for a message."""
    shown = ", ".join(repr(str(name)) for name in names[:n])
    return shown + (", ..." if len(names) > n else "")


def check_unique_column(table: pd.DataFrame, key: str, argument: str, where: str) -> None:
    """Raise if several columns have the same name.

    Raises
    ------
    ValueError
        The message names the argument, the column and the remedy.
    """
    n_columns = int((table.columns == key).sum())
    if n_columns > 1:
        raise ValueError(
            f"`{argument}`: {n_columns} columns of {where} are named {key!r}. Rename or remove all "
            "but one."
        )


def check_column(table: pd.DataFrame, key: str, argument: str, where: str) -> None:
    """Raise if a column is missing, occurs more than once or has missing values.

    Raises
    ------
    ValueError
        The message names the argument, the column and the most similar column names.
    """
    if not isinstance(key, str):
        raise ValueError(f"`{argument}` must be the name of one column, found {key!r:.80}.")
    if key not in table.columns:
        near = nearest_columns(key, table)
        raise ValueError(
            f"`{argument}`: {key!r} is not a column of {where}. "
            + (f"Nearest names: {near}." if near else "It has no columns.")
        )
    check_unique_column(table, key, argument, where)
    missing = int(table[key].isna().sum())
    if missing:
        raise ValueError(
            f"`{argument}`: {missing} of {len(table)} entries of {where}[{key!r}] are missing. "
            "Fill them in or remove those rows."
        )


def check_place_of_columns(mdata: MuData, keys: Iterable[str], argument: str) -> None:
    """Raise if a column exists in a modality instead of the MuData.

    Raises
    ------
    ValueError
        The message names the argument, the column, and the assignment that copies it.
    """
    for key in keys:
        having = [m for m, part in mdata.mod.items() if key in part.obs]
        if having and key not in mdata.obs:
            raise ValueError(
                f"`{argument}`: {key!r} is a column of mdata[{having[0]!r}].obs, not of mdata.obs. "
                f"Copy it: `mdata.obs[{key!r}] = mdata[{having[0]!r}].obs[{key!r}]`."
            )


def check_numeric(table: pd.DataFrame, key: str, argument: str) -> None:
    """Raise if a column contains anything but finite numbers.

    Raises
    ------
    ValueError
        The message names the argument, the column and its type.
    """
    if not pd.api.types.is_numeric_dtype(table[key]):
        raise ValueError(
            f"`{argument}`: {key!r} is not numeric (found {table[key].dtype}). Convert it to "
            "numbers."
        )
    n_infinite = int(np.isinf(table[key].to_numpy(dtype=float)).sum())
    if n_infinite:
        raise ValueError(
            f"`{argument}`: {n_infinite} entries of {key!r} are infinite. Replace them by finite "
            "numbers."
        )


def check_discrete(table: pd.DataFrame, key: str, argument: str) -> None:
    """Raise if a column contains fractional values or values of several types.

    Each fractional value would become a category.

    Raises
    ------
    ValueError
        The message names the argument, the column and the remedy.
    """
    values = table[key].dropna()
    if isinstance(values.dtype, pd.CategoricalDtype):
        kind, values = "categorical", pd.Series(values.cat.categories)
    else:
        kind = pd.api.types.infer_dtype(values)
    repeated = pd.Index([str(value) for value in values.unique()])
    if kind in ("mixed", "mixed-integer") or repeated.has_duplicates:
        kinds = sorted({type(value).__name__ for value in values})
        raise ValueError(
            f"`{argument}`: {key!r} contains values of several types ({', '.join(kinds)}). Convert "
            "them to strings and leave missing entries missing: "
            f"`obs[{key!r}].map(str, na_action='ignore')`."
        )
    if kind in ("floating", "mixed-integer-float") and (values.astype(float) % 1).any():
        raise ValueError(
            f"`{argument}`: {key!r} contains fractional values ({values.nunique()} different "
            "values). Name it in `continuous_covariate_keys`, or convert it to a categorical column "
            "if the values are groups."
        )


def check_names(names: pd.Index, what: str) -> None:
    """Raise if names are not unique.

    Parameters
    ----------
    names
        Names of cells or features.
    what
        Description of the names in the message.

    Raises
    ------
    ValueError
        The message contains ``what`` and some of the repeated names.
    """
    if not names.is_unique:
        repeated = names[names.duplicated()].unique()
        axis = "obs" if "obs_names" in what else "var"
        raise ValueError(
            f"{what} must be unique; {len(repeated)} occur more than once: {listed(repeated)}. "
            f"Make them unique first, for example with `{axis}_names_make_unique()`."
        )


def check_counts(x: object, where: str) -> None:
    """Raise if a matrix cannot contain counts, and warn if it contains fractional values.

    Raises
    ------
    ValueError
        If the matrix has an unsupported type, no cells or no features, contains negative, NaN or
        infinite values, or contains only zeros.
    """
    reader = MatrixReader(x, where)
    n_cells, n_features = reader.shape
    if n_features == 0 or n_cells == 0:
        raise ValueError(f"{where} is empty: {n_cells} cells and {n_features} features.")
    total = 0.0
    integers = True
    for chunk in reader.chunks():
        values = chunk.data
        if not np.isfinite(values).all():
            raise ValueError(
                f"{where} contains NaN or infinite values such as "
                f"{values[~np.isfinite(values)][0]}. Replace or remove them."
            )
        if values.size and values.min() < 0:
            raise ValueError(
                f"{where} contains negative values (as low as {values.min():g}). MultiDGD models raw "
                "counts: pass them as `layer` (`layers` for MuData) if they are not in `X`."
            )
        integers = integers and not (values % 1).any()
        total += float(values.sum())
    if total == 0:
        raise ValueError(f"{where} contains no counts: every value is 0.")
    if not integers:
        warnings.warn(
            f"{where} does not contain unnormalized count data. Are you sure this is what you want? "
            "MultiDGD models raw counts: pass them as `layer` (`layers` for MuData) if they are "
            "not in `X`.",
            UserWarning,
            stacklevel=caller_level(),
        )


def warn_of_read_counts(counts: Mapping[str, Counts]) -> None:
    """Log a warning for each modality that appears to contain read counts.

    Each fragment yields two reads, so read counts are mostly even.

    Parameters
    ----------
    counts
        Counts of some cells, by modality.
    """
    for modality, found in counts.items():
        even = float((found.values % 2 == 0).float().mean()) if len(found.values) else 0.0
        if even > _READ_EVEN_SHARE:
            logger.warning(
                "%.0f %% of the counts of modality %r are even, as in read counts, where each fragment "
                "yields two reads. Fragment counts fit the model better: "
                "`scvi.data.reads_to_fragments` adds a layer of them.",
                100 * even,
                modality,
            )
