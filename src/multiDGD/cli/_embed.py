"""``multidgd embed``: place the cells of a file by a saved model."""

from __future__ import annotations

import argparse
import logging

import pandas as pd
from anndata import AnnData
from mudata import MuData

from ._model import asking, read_model_and_data
from ._results import make_folder

logger = logging.getLogger(__name__)

# With as few known cells as there may be, 20, this can still be reached.
_UNUSUAL = 0.05


def run_embed(args: argparse.Namespace) -> None:
    """Place cells, print how many are unusual and write them, as data and as a table.

    Parameters
    ----------
    args
        Arguments as the parser gives them.

    Raises
    ------
    UserError
        If model or file cannot be read, or do not fit each other.

    Examples
    --------
    >>> run_embed(
    ...     build_parser().parse_args(["embed", "multidgd_fit", "new.h5mu"])
    ... )  # doctest: +SKIP
    """
    model, data = read_model_and_data(args.model, args.file)
    make_folder(args.out)
    logger.info("Placing %d cells", data.n_obs)
    with asking():
        model.annotate(data)
        data.obs["multidgd_typicality"] = model.get_typicality(data)
    written = {
        "embedding": args.out
        / ("embedding.h5mu" if isinstance(data, MuData) else "embedding.h5ad"),
        "cells": args.out / "cells.tsv",
    }
    data.write(written["embedding"])
    cells = cell_table(data)
    cells.to_csv(written["cells"], sep="\t")
    n_components = cells["component"].nunique()
    print(f"{len(cells):,} cells in {n_components} components")
    if "label" in cells:
        for label, n in cells["label"].astype(str).value_counts().items():
            print(f"  {label}: {n:,}")
    n_unusual = int((cells["typicality"] < _UNUSUAL).sum())
    print(
        f"{n_unusual:,} cells have a typicality below {_UNUSUAL}; of {len(cells):,} ordinary ones "
        f"about {_UNUSUAL * len(cells):,.0f} would"
    )
    for what, path in written.items():
        print(f"{what}: {path}")


def cell_table(data: AnnData | MuData) -> pd.DataFrame:
    """What was found of each cell, as one table.

    Parameters
    ----------
    data
        Cells with ``multidgd_typicality`` and what :meth:`multiDGD.MultiDGD.annotate` writes.

    Returns
    -------
    pandas.DataFrame
        Columns ``component``, ``label`` (where the model has labels), ``typicality``, ``z1``,
        ``z2`` and so on; the index is called ``cell``.
    """
    obs = data.obs
    columns = {
        name: obs[f"multidgd_{name}"]
        for name in ("component", "label", "typicality")
        if f"multidgd_{name}" in obs
    }
    columns |= {f"z{d}": z for d, z in enumerate(data.obsm["X_multidgd"].T, 1)}
    return pd.DataFrame(columns, index=data.obs_names).rename_axis("cell")
