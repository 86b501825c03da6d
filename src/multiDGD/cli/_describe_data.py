"""A file of single-cell data in words: are there counts, and what could the columns mean?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy.sparse import issparse

_MAX_NAMES = 3
# A batch or a type of which there are fewer cells on average is none.
_MIN_CELLS = 3
_MAX_MODALITIES = 10


def describe_data(data: AnnData | MuData, modality_key: str | None) -> str:
    """Say which modalities, counts and columns data have.

    Parameters
    ----------
    data
        The data.
    modality_key
        Column of ``var`` with the modality of each feature, for AnnData.

    Returns
    -------
    str
        Lines for cells, modalities with their matrices, and columns.

    Examples
    --------
    >>> import numpy as np
    >>> obs = pd.DataFrame({"type": list("aaabbb")}, index=list("uvwxyz"))
    >>> print(describe_data(AnnData(np.eye(6, dtype="f4"), obs=obs), None))
    6 cells
      counts: 6 features
        X: whole numbers, as raw counts are; 16.7 % not zero
    columns of obs that could be a batch, a covariate or labels:
      type: 2 categories, a (3), b (3)
    """
    lines = [f"{data.n_obs:,} cells"]
    for name, part in _parts(data, modality_key).items():
        missing = data.n_obs - part.n_obs
        lines.append(
            f"  {name}: {part.n_vars:,} features"
            + (f", missing in {missing:,} cells" if missing else "")
        )
        # From anndata 0.13 on X is a layer without a name as well.
        layers = {f"layer {key}": x for key, x in part.layers.items() if key is not None}
        matrices = {"X": part.X} | layers
        lines += [f"    {key}: {_values(x)}" for key, x in matrices.items() if x is not None]
    columns = _candidates(data.obs, data.n_obs // _MIN_CELLS)
    lines.append(
        "columns of obs that could be a batch, a covariate or labels:"
        + ("" if columns else " none")
    )
    lines += columns
    if isinstance(data, AnnData) and modality_key is None:
        columns = _candidates(data.var, _MAX_MODALITIES)
        if columns:
            lines += [
                "columns of var that could tell modalities apart (--modality-key):",
                *columns,
            ]
    return "\n".join(lines)


def _parts(data: AnnData | MuData, modality_key: str | None) -> dict[str, AnnData]:
    """The modalities by name."""
    if isinstance(data, MuData):
        return dict(data.mod)
    if modality_key is None:
        return {"counts": data}
    column = data.var[modality_key]
    return {str(name): data[:, column == name] for name in column.unique()}


def _values(matrix: Any) -> str:
    """Whether the entries of a matrix can be raw counts."""
    values = matrix.data if issparse(matrix) else np.asarray(matrix)
    if not np.isfinite(values).all():
        what = "NaN or infinite values, no counts"
    elif values.size and values.min() < 0:
        what = f"negative values (as low as {values.min():g}), no raw counts"
    elif (values % 1).any():
        what = "fractions, no raw counts"
    else:
        what = "whole numbers, as raw counts are"
    share = np.count_nonzero(values) / max(1, np.prod(matrix.shape))
    return f"{what}; {100 * share:.1f} % not zero"


def _candidates(table: pd.DataFrame, most: int) -> list[str]:
    """Columns that tell between two and ``most`` groups, each with its largest ones."""
    lines = []
    for key, column in table.items():
        # scvi-tools notes there what it has read from other columns.
        if pd.api.types.is_float_dtype(column) or str(key).startswith("_scvi"):
            continue
        sizes = column.value_counts()
        sizes = sizes[sizes > 0]
        if not 2 <= len(sizes) <= most:
            continue
        largest = [f"{name} ({n:,})" for name, n in sizes.head(_MAX_NAMES).items()]
        n_missing = int(column.isna().sum())
        lines.append(
            f"  {key}: {len(sizes):,} categories, {', '.join(largest)}"
            + (", ..." if len(sizes) > _MAX_NAMES else "")
            + (f"; {n_missing:,} cells without" if n_missing else "")
        )
    return lines
