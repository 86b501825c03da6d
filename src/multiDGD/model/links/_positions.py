"""Genomic positions of features, and their distances."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from mudata import MuData

from multiDGD.data import CellManager

_POSITION = ["chrom", "start", "end"]
# As in "chr1:100-200" or "chr1-100-200".
_NAME = r"^(?P<chrom>\w+)[:-](?P<start>\d+)-(?P<end>\d+)$"


def feature_positions(
    manager: CellManager, modalities: Sequence[str], given: pd.DataFrame | None
) -> pd.DataFrame:
    """Positions of the features that have one: as given, else in ``.var``, else by their names."""
    adata = manager.adata
    parts = []
    if given is not None:
        missing = [c for c in _POSITION if c not in given]
        if missing:
            raise ValueError(f"`positions` lacks the columns {missing}; it has {list(given)}.")
        parts.append(given[_POSITION])
    objects = (
        [adata.mod[m] for m in modalities if m in adata.mod]
        if isinstance(adata, MuData)
        else [adata]
    )
    for part in objects:
        if set(_POSITION) <= set(part.var):
            parts.append(part.var[_POSITION])
        names = part.var_names.to_series().astype(str)
        told = names.str.extract(_NAME).dropna()
        parts.append(told.astype({"start": np.int64, "end": np.int64}))
    found = pd.concat(parts)
    return found[~found.index.duplicated()]


def distances(
    known: pd.DataFrame, feature: str, names: np.ndarray, feature_is_gene: bool
) -> pd.DataFrame:
    """Positions of features, and their distance from one: start of the gene to middle of the peak."""
    found = known.reindex(names)
    own = known.loc[feature]
    middle = (found["start"] + found["end"]) / 2
    if feature_is_gene:
        distance = middle - own["start"]
    else:
        distance = (own["start"] + own["end"]) / 2 - found["start"]
    # Categories of one chromosome column and another do not compare; strings do.
    near = found["chrom"].astype(str) == str(own["chrom"])
    return found.assign(distance=distance.where(near))
