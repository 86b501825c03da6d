"""Differential tests of scanpy between two groups of cells."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData


def rank_genes(cells: AnnData, first: np.ndarray, second: np.ndarray, method: str) -> pd.DataFrame:
    """Table of ``rank_genes_groups`` by gene, of normalised and log-transformed counts.

    Parameters
    ----------
    cells
        Cells with counts.
    first, second
        Positions of the cells of both groups.
    method
        Method of scanpy, such as ``"wilcoxon"``.
    """
    chosen = AnnData(
        cells.X[np.concatenate([first, second])],
        var=cells.var[[]],
        obs={"group": pd.Categorical(["a"] * len(first) + ["b"] * len(second))},
    )
    sc.pp.normalize_total(chosen)
    sc.pp.log1p(chosen)
    sc.tl.rank_genes_groups(chosen, "group", groups=["a"], reference="b", method=method)
    return sc.get.rank_genes_groups_df(chosen, "a").set_index("names")
