"""Learned regressions that impute one modality."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from multiDGD._record import Record

from ._library_regression import LibraryRegression
from ._residual_regression import ResidualRegression


@dataclass(frozen=True)
class Imputer(Record):
    """Regressions for cells whose representations are inferred without the modality.

    Attributes
    ----------
    depth
        Regression of the modality's library size.
    regression
        Correction of the decoded log means; `None` if it does not improve held-out cells.
    """

    depth: LibraryRegression
    regression: ResidualRegression | None = None

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """Build an imputer from its state.

        Parameters
        ----------
        state
            As :meth:`state` returns it.
        """
        regression = state["regression"]
        return cls(
            LibraryRegression.from_state(state["depth"]),
            None if regression is None else ResidualRegression.from_state(regression),
        )
