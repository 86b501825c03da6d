"""State of a registered object, to detect changes after the registration."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from anndata import AnnData
from mudata import MuData

from ._checksum import Checksum, checksum


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Names, annotations and checksums of counts of an object at one time.

    Attributes
    ----------
    names
        Names of the cells and, for each AnnData, of its cells and features.
    columns
        Registered columns of ``obs`` and ``var``; None if missing.
    counts
        Checksum of each registered matrix.
    """

    names: tuple[pd.Index, ...]
    columns: tuple[pd.Series | pd.DataFrame | None, ...]
    counts: tuple[Checksum, ...]

    @classmethod
    def of(
        cls,
        data: AnnData | MuData,
        obs: Iterable[str],
        modality_key: str | None,
        matrices: Sequence[Any],
    ) -> Snapshot:
        """Describe the present state of an object.

        Parameters
        ----------
        data
            The object.
        obs
            Registered columns of ``obs``.
        modality_key
            Registered column of ``var``, if any.
        matrices
            Registered matrices, None if missing.
        """
        parts = list(data.mod.values()) if isinstance(data, MuData) else [data]
        names = [data.obs_names]
        for part in parts:
            names += [part.obs_names, part.var_names]
        columns = [_copied(data.obs, key) for key in obs]
        if modality_key is not None:
            columns.append(_copied(parts[0].var, modality_key))
        return cls(tuple(names), tuple(columns), tuple(map(checksum, matrices)))

    @property
    def is_complete(self) -> bool:
        """Whether the checksums include all counts, not a sample."""
        return all(found.is_complete for found in self.counts)

    def equals(self, other: Snapshot) -> bool:
        """Return whether two states are equal.

        Parameters
        ----------
        other
            State at another time.
        """
        return (
            self.counts == other.counts
            and len(self.names) == len(other.names)
            and all(a is b or a.equals(b) for a, b in zip(self.names, other.names, strict=True))
            and all(map(_same_column, self.columns, other.columns))
        )


def _copied(table: pd.DataFrame, key: str) -> pd.Series | pd.DataFrame | None:
    return table[key].copy() if key in table else None


def _same_column(
    one: pd.Series | pd.DataFrame | None, other: pd.Series | pd.DataFrame | None
) -> bool:
    if one is None or other is None:
        return one is other
    return type(one) is type(other) and bool(one.equals(other))  # type: ignore[arg-type]
