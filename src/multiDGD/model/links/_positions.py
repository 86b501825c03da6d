"""Genomic positions of features and distances between them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from mudata import MuData

from multiDGD.data import CellManager

_POSITION = ["chrom", "start", "end"]
# Names such as "chr1:100-200" or "chr1-100-200".
_NAME = r"^(?P<chrom>\w+)[:-](?P<start>\d+)-(?P<end>\d+)$"


def feature_positions(
    manager: CellManager, modalities: Sequence[str], given: pd.DataFrame | None
) -> pd.DataFrame:
    """Known positions of features, in this order: as given, in ``.var``, or in their names."""
    adata = manager.adata
    parts = []
    if given is not None:
        if not set(_POSITION) <= set(given):
            raise ValueError(
                f"`positions` must have the columns {_POSITION}, found {list(given)}."
            )
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
        from_names = names.str.extract(_NAME).dropna()
        parts.append(from_names.astype({"start": np.int64, "end": np.int64}))
    found = pd.concat(parts)
    return found[~found.index.duplicated()]


def distances(
    known: pd.DataFrame, feature: str, names: np.ndarray, feature_is_gene: bool
) -> pd.DataFrame:
    """Positions of features and their distances from one, start of gene to middle of peak."""
    found = known.reindex(names)
    own = known.loc[feature]
    middle = (found["start"] + found["end"]) / 2
    if feature_is_gene:
        distance = middle - own["start"]
    else:
        distance = (own["start"] + own["end"]) / 2 - found["start"]
    # Categoricals with different categories cannot be compared.
    same_chrom = found["chrom"].astype(str) == str(own["chrom"])
    return found.assign(distance=distance.where(same_chrom))
