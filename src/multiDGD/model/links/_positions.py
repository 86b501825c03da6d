"""Genomic positions of genes and peaks, and distances between them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import pandas as pd
from mudata import MuData

from multiDGD._checks import caller_level
from multiDGD._names import COORDINATES
from multiDGD.data import CellManager

from ._gtf import read_gtf

#: Table with the columns chrom, start and end (and strand) by feature name, path of a GTF file, or
#: (chrom, start, end) by feature name.
GivenPositions: TypeAlias = pd.DataFrame | Mapping[str, Sequence[object]] | str | Path

_POSITION = ["chrom", "start", "end"]
_COLUMNS = [*_POSITION, "strand"]
_EMPTY = pd.DataFrame(columns=_COLUMNS, dtype=object)
_HOW = (
    "Pass `positions` (a GTF file, a table with the columns 'chrom', 'start' and 'end', or "
    "{name: (chrom, start, end)}), or add these columns to `.var`."
)


class Positions(NamedTuple):
    """Positions of genes and peaks of a model, in its order; missing values if unknown.

    Attributes
    ----------
    genes, peaks
        Tables with the columns ``chrom``, ``start``, ``end`` and ``strand`` by feature name.
    """

    genes: pd.DataFrame
    peaks: pd.DataFrame

    def distances(self, gene: int, peaks: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Base pairs from the start of a gene to the middle of peaks, NaN on other chromosomes.

        The start of a gene on the strand "-" is the end of its interval.
        """
        return _distance(self.genes.iloc[[gene]], self.peaks.iloc[peaks])

    def distances_of_peak(self, peak: int) -> np.ndarray:
        """Base pairs from the start of each gene to the middle of a peak."""
        return _distance(self.genes, self.peaks.iloc[[peak]])


def _distance(genes: pd.DataFrame, peaks: pd.DataFrame) -> np.ndarray:
    start, end = genes["start"].to_numpy(float), genes["end"].to_numpy(float)
    start = np.where(genes["strand"].to_numpy() == "-", end, start)
    middle = (peaks["start"].to_numpy(float) + peaks["end"].to_numpy(float)) / 2
    is_same = _bare(genes["chrom"]) == _bare(peaks["chrom"])
    return np.where(is_same, middle - start, np.nan)


def _bare(chrom: pd.Series) -> np.ndarray:
    """Names of chromosomes without the prefix "chr", which annotations of genes often lack."""
    # Categoricals with different categories cannot be compared.
    return chrom.astype(str).str.replace(r"^chr", "", regex=True, case=False).to_numpy(str)


def find_positions(
    manager: CellManager,
    genes: tuple[str, np.ndarray],
    peaks: tuple[str, np.ndarray],
    given: GivenPositions | None,
) -> Positions:
    """Positions of genes and peaks: as given, in ``.var``, or in the names of peaks.

    Parameters
    ----------
    manager
        Manager of the object.
    genes, peaks
        Modality and names of the features.
    given
        Argument of the user.

    Raises
    ------
    ValueError, TypeError, FileNotFoundError
        If the argument is invalid.
    """
    sources = [] if given is None else [_table(given)]
    found = []
    for modality, names in (genes, peaks):
        adata = manager.adata
        parts = list(sources)
        if isinstance(adata, MuData):
            parts += _of_var(adata.mod[modality].var) if modality in adata.mod else []
        else:
            parts += _of_var(adata.var)
        # A gene may have a name like "mir-1-2".
        if modality == peaks[0]:
            parts.append(_from_text(pd.Series(names, index=names).astype(str)))
        parts = [part.reindex(columns=_COLUMNS).dropna(subset=_POSITION) for part in parts]
        # Empty tables would determine the types of the columns.
        known = pd.concat([p.astype(object) for p in parts if len(p)] or [_EMPTY])
        found.append(known[~known.index.duplicated()].reindex(names))
    return Positions(*found)


def check_positions(
    positions: Positions, feature: str, is_gene: bool, needed_for: str | None
) -> bool:
    """Say before any work which positions are unknown.

    Parameters
    ----------
    positions
        Positions of genes and peaks.
    feature
        The gene or peak of the table.
    is_gene
        Whether it is a gene.
    needed_for
        Argument that needs positions; `None` if they are optional.

    Returns
    -------
    Whether distances are known.

    Raises
    ------
    ValueError
        If positions are needed, and that of the feature or of all others are unknown.
    """
    kinds = ("gene", "peak") if is_gene else ("peak", "gene")
    own, others = positions if is_gene else positions[::-1]
    is_known = others["chrom"].notna()
    problem = None
    if pd.isna(own.loc[feature, "chrom"]):
        problem = f"the position of the {kinds[0]} {feature!r} is unknown"
    elif not is_known.any():
        problem = f"the positions of all {kinds[1]}s are unknown"
    if problem and needed_for:
        raise ValueError(f"{needed_for} needs genomic positions, but {problem}. {_HOW}")
    # The names of peaks are positions: only those of genes show that distances are expected.
    if problem and (pd.isna(own.loc[feature, "chrom"]) or not is_gene):
        return False
    n_unknown = int((~is_known).sum())
    if problem:
        message = f"The table has no distances, because {problem}. {_HOW}"
    elif n_unknown:
        message = f"The positions of {n_unknown} of {len(others)} {kinds[1]}s are unknown. {_HOW}"
    else:
        return True
    warnings.warn(message, UserWarning, stacklevel=caller_level())
    return problem is None


def _table(given: GivenPositions) -> pd.DataFrame:
    """Table of an argument ``positions``."""
    if isinstance(given, str | Path):
        return read_gtf(given)
    if isinstance(given, pd.DataFrame):
        missing = [column for column in _POSITION if column not in given]
        if missing:
            raise ValueError(
                f"`positions` must have the columns {_POSITION}, found {list(given)}."
            )
        return _numeric(given)
    if not isinstance(given, Mapping):
        raise TypeError(
            "`positions` must be a table, a GTF file or {name: (chrom, start, end)}, found "
            f"{type(given).__name__}."
        )
    for name, position in given.items():
        if isinstance(position, str) or not len(tuple(position)) == len(_POSITION):
            raise ValueError(
                f"`positions`: {name!r} must have (chrom, start, end), found {position!r}."
            )
    rows = [tuple(position) for position in given.values()]
    return _numeric(pd.DataFrame(rows, index=list(given), columns=_POSITION))


def _numeric(table: pd.DataFrame) -> pd.DataFrame:
    for column in ("start", "end"):
        if not pd.api.types.is_numeric_dtype(table[column]):
            try:
                table = table.assign(**{column: pd.to_numeric(table[column])})
            except (ValueError, TypeError) as error:
                raise ValueError(
                    f"`positions`: {column!r} must contain numbers of base pairs ({error})."
                ) from error
    return table


def _of_var(var: pd.DataFrame) -> list[pd.DataFrame]:
    """Positions in the columns of ``.var``, or in the column ``interval`` of 10x files."""
    found = [var] if set(_POSITION) <= set(var) else []
    if "interval" in var:
        found.append(_from_text(var["interval"].astype(str)))
    return found


def _from_text(text: pd.Series) -> pd.DataFrame:
    found = text.str.extract(COORDINATES).dropna()
    return found.astype({"start": np.int64, "end": np.int64})
