"""Messages about comparisons in which most features, or the reference itself, change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from multiDGD.data import logger
from multiDGD.stats._fold_changes import Reference

# Share of called features above which a comparison is unusual.
_MANY = 0.8
# Log2 fold change of the reference that turns many small decreases of shares into increases.
_LARGE_SHIFT = 1.0


def warn_of_many(called: Mapping[Any, float], reference: Reference | Sequence[int]) -> None:
    """Log a warning if most features are called in a comparison.

    Parameters
    ----------
    called
        Share of the features that are called, by comparison.
    reference
        Reference of the fold changes.
    """
    many = {name: share for name, share in called.items() if share > _MANY}
    if many:
        others = '"share"' if reference == "median" else '"median"'
        logger.warning(
            "More than %.0f %% of the features are called in %d of %d comparisons (%s). A larger "
            "`delta`, or another `reference` (%s, or a list of unchanged features), selects "
            "fewer.",
            100 * _MANY,
            len(many),
            len(called),
            "; ".join(f"{name}: {100 * share:.0f} %" for name, share in many.items()),
            others,
        )


def log_shifts(
    shifts: Mapping[Any, float], reference: Reference | Sequence[int], modality: str
) -> None:
    """Log how far the median feature changes, if it changes much in a comparison.

    Parameters
    ----------
    shifts
        Log2 fold change of the reference's share, by comparison.
    reference
        Reference of the fold changes.
    modality
        Modality of the features.
    """
    large = {name: shift for name, shift in shifts.items() if abs(shift) > _LARGE_SHIFT}
    if reference == "median" and large:
        name, shift = max(large.items(), key=lambda item: abs(item[1]))
        logger.info(
            "Fold changes are relative to the median feature of %r, whose share itself changes by "
            "%+.1f log2 in %s (column `lfc_reference`; more than 1 in %d of %d comparisons). "
            '`reference="share"` gives changes of shares',
            modality,
            shift,
            name,
            len(large),
            len(shifts),
        )
