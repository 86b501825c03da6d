"""Text summaries of single-cell data: counts, and columns that could be a batch or labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy.sparse import issparse

from multiDGD._names import is_copy

_MAX_NAMES = 3
# Columns with fewer cells per category, on average, are not listed as batches or labels.
_MIN_CELLS = 3
_MAX_MODALITIES = 10


def describe_data(data: AnnData | MuData, modality_key: str | None) -> str:
    """Describe the modalities, matrices and categorical columns of the data.

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
        X: whole numbers, possibly raw counts; 16.7 % non-zero
    columns of obs that could be a batch, a covariate or labels:
      type: 2 categories, a (3), b (3)
    """
    lines = [f"{data.n_obs:,} cells"]
    for name, part in _modalities(data, modality_key).items():
        lines.append(f"  {name}: {part.n_vars:,} features" + _missing(data, part))
        # Since anndata 0.13, X is also listed as a layer without a name.
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
                "columns of var that could identify modalities (--modality-key):",
                *columns,
            ]
    return "\n".join(lines)


def summarize_counts(data: AnnData | MuData, modality_key: str | None, layer: str | None) -> str:
    """Summarise the cells, the features and the fraction of non-zero counts.

    Parameters
    ----------
    data
        The data.
    modality_key
        Column of ``var`` with the modality of each feature, for AnnData.
    layer
        Layer with the counts, ``X`` by default.

    Returns
    -------
    str
        One line for the cells and one for each modality.

    Examples
    --------
    >>> import numpy as np
    >>> print(summarize_counts(AnnData(np.eye(4, dtype="f4")), None, None))
    4 cells
      counts: 4 features, 25.0 % of counts non-zero
    """
    lines = [f"{data.n_obs:,} cells"]
    for name, part in _modalities(data, modality_key).items():
        counts = part.X if layer is None else part.layers[layer]
        n_values = counts.nnz if issparse(counts) else np.count_nonzero(counts)
        percentage = 100 * n_values / max(1, part.n_obs * part.n_vars)
        lines.append(
            f"  {name}: {part.n_vars:,} features, {percentage:.1f} % of counts non-zero"
            + _missing(data, part)
        )
    return "\n".join(lines)


def _modalities(data: AnnData | MuData, modality_key: str | None) -> dict[str, AnnData]:
    """Modalities by name; ``counts`` for an AnnData with a single one."""
    if isinstance(data, MuData):
        return dict(data.mod)
    if modality_key is None:
        return {"counts": data}
    column = data.var[modality_key]
    return {str(name): data[:, column == name] for name in column.unique()}


def _missing(data: AnnData | MuData, modality: AnnData) -> str:
    n_missing = data.n_obs - modality.n_obs
    return f", missing in {n_missing:,} cells" if n_missing else ""


def _values(matrix: Any) -> str:
    """Describe the values of a matrix and whether they can be raw counts."""
    values = matrix.data if issparse(matrix) else np.asarray(matrix)
    if not np.isfinite(values).all():
        kind = "NaN or infinite values, not counts"
    elif values.size and values.min() < 0:
        kind = f"negative values (minimum {values.min():g}), not raw counts"
    elif (values % 1).any():
        kind = "fractions, not raw counts"
    else:
        kind = "whole numbers, possibly raw counts"
    share = np.count_nonzero(values) / max(1, np.prod(matrix.shape))
    return f"{kind}; {100 * share:.1f} % non-zero"


def _candidates(table: pd.DataFrame, most: int) -> list[str]:
    """Columns with 2 to ``most`` categories, each with its largest categories."""
    lines = []
    for key, column in table.items():
        if pd.api.types.is_float_dtype(column) or is_copy(key):
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
            + (f"; {n_missing:,} missing" if n_missing else "")
        )
    return lines
