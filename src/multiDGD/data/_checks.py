"""What can be wrong with a user's data, said before any work is done."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scvi import settings

from multiDGD._names import nearest_columns
from multiDGD.nn import Counts

from ._log import logger
from ._reader import CountReader

# About half of all large counts are even and fewer of the small ones (most are 1). Reads come in
# pairs, which makes nearly all of theirs even.
_EVEN = 0.7


def listed(names: Sequence[object] | np.ndarray | pd.Index, n: int = 3) -> str:
    """The first few names for a message."""
    shown = ", ".join(repr(str(name)) for name in names[:n])
    return shown + (", ..." if len(names) > n else "")


def check_column(table: pd.DataFrame, key: str, argument: str, where: str) -> None:
    """Raise if a column is not there or has missing values.

    Raises
    ------
    ValueError
        Naming ``argument``, the column and the nearest names.
    """
    if key not in table.columns:
        raise ValueError(
            f"`{argument}`: {key!r} is not a column of {where}. Nearest: "
            f"{nearest_columns(key, table)}."
        )
    missing = int(table[key].isna().sum())
    if missing:
        raise ValueError(
            f"`{argument}`: {missing} of {len(table)} entries of {where}[{key!r}] are missing. "
            "Fill them or leave those rows out."
        )


def check_numeric(table: pd.DataFrame, key: str, argument: str) -> None:
    """Raise if a column does not hold finite numbers.

    Raises
    ------
    ValueError
        Naming ``argument``, the column and its type.
    """
    if not pd.api.types.is_numeric_dtype(table[key]):
        raise ValueError(f"`{argument}`: {key!r} is not numeric ({table[key].dtype}).")
    n_infinite = int(np.isinf(table[key].to_numpy(dtype=float)).sum())
    if n_infinite:
        raise ValueError(f"`{argument}`: {n_infinite} entries of {key!r} are infinite.")


def check_discrete(table: pd.DataFrame, key: str, argument: str) -> None:
    """Raise if a column holds fractions, each of which would be a category, or a mix of types.

    Raises
    ------
    ValueError
        Naming ``argument``, the column and what takes it.
    """
    values = table[key].dropna()
    if pd.api.types.infer_dtype(values) in ("mixed", "mixed-integer"):
        kinds = sorted({type(value).__name__ for value in values})
        raise ValueError(
            f"`{argument}`: {key!r} holds values of several types ({', '.join(kinds)}). Make them "
            f"strings, for example with `obs[{key!r}].astype(str)`."
        )
    if pd.api.types.is_float_dtype(values) and (values % 1).any():
        raise ValueError(
            f"`{argument}`: {key!r} holds fractions ({values.nunique()} different values). Name it "
            "in `continuous_covariate_keys`, or make it a categorical column if they are groups."
        )


def check_names(names: pd.Index, what: str) -> None:
    """Raise if names are not unique.

    Parameters
    ----------
    names
        Of cells or of features.
    what
        What the message calls them.

    Raises
    ------
    ValueError
        Naming ``what`` and some of the repeated names.
    """
    if not names.is_unique:
        repeated = names[names.duplicated()].unique()
        raise ValueError(
            f"{what} must be unique, {len(repeated)} occur more than once: {listed(repeated)}. "
            "Make them unique first, for example with `obs_names_make_unique()` or "
            "`var_names_make_unique()`."
        )


def check_counts(x: object, where: str) -> None:
    """Raise if a matrix cannot be counts, warn if it is not integer-valued.

    Raises
    ------
    ValueError
        If there are no features, negative, NaN or infinite values, or nothing but zeros.
    """
    reader = CountReader(x)
    n_cells, n_features = reader.shape
    if n_features == 0 or n_cells == 0:
        raise ValueError(f"{where} is empty: {n_cells} cells and {n_features} features.")
    total = 0.0
    integers = True
    for chunk in reader.chunks():
        values = chunk.data
        if not np.isfinite(values).all():
            bad = int((~np.isfinite(values)).sum())
            raise ValueError(
                f"{where} holds NaN or infinite values ({bad} in one block of cells)."
            )
        if values.size and values.min() < 0:
            raise ValueError(
                f"{where} holds negative values (as low as {values.min():g}). MultiDGD models raw "
                "counts: pass them as `layer` (`layers` for MuData) if they are not in `X`."
            )
        integers = integers and not (values % 1).any()
        total += float(values.sum())
    if total == 0:
        raise ValueError(f"{where} holds no counts at all: every value is 0.")
    if not integers:
        warnings.warn(
            f"{where} does not contain unnormalized count data. Are you sure this is what you want? "
            "MultiDGD models raw counts: pass them as `layer` (`layers` for MuData) if they are "
            "not in `X`.",
            UserWarning,
            stacklevel=settings.warnings_stacklevel,
        )


def log_reads(counts: Mapping[str, Counts]) -> None:
    """Warn of modalities that seem to count reads, of which each fragment gives two.

    Parameters
    ----------
    counts
        Of some cells, by modality.
    """
    for modality, found in counts.items():
        even = float((found.values % 2 == 0).float().mean()) if len(found.values) else 0.0
        if even > _EVEN:
            logger.warning(
                "%.0f %% of the counts of modality %r are even, as those of reads are, of which each "
                "fragment gives two. Fragments are described better: `scvi.data.reads_to_fragments` "
                "makes a layer of them.",
                100 * even,
                modality,
            )
