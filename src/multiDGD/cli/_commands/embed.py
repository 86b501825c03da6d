"""``multidgd embed``: embed cells with a saved model."""

from __future__ import annotations

import argparse

import pandas as pd
from anndata import AnnData
from mudata import MuData

from multiDGD._log import logger
from multiDGD.cli._output import NUMBERS, make_folder, print_paths, write_data
from multiDGD.cli._read_model import calling_model, read_model_and_data

# A quantile among 20 cells, the minimum number of held-out cells, can be this small.
_UNUSUAL = 0.05


def run(args: argparse.Namespace) -> None:
    """Embed cells, print the number of unusual ones and write the data and a table.

    Raises
    ------
    UserError
        If the model or the file cannot be read, or the file does not match the model.
    """
    model, data = read_model_and_data(args.model, args.file)
    make_folder(args.out)
    logger.info("Embedding %d cells", data.n_obs)
    with calling_model():
        model.annotate(data)
        data.obs["multidgd_typicality"] = model.get_typicality(data)
        if "multidgd_label" in data.obs:
            data.obs["multidgd_label_probability"] = model.predict(data, soft=True).max(axis=1)
    paths = {"embedding": write_data(data, args.out), "cells": args.out / "cells.tsv"}
    cells = cell_table(data)
    cells.to_csv(paths["cells"], sep="\t", float_format=NUMBERS)
    n_components = cells["component"].nunique()
    print(f"{len(cells):,} cells in {n_components} components")
    if "label" in cells:
        for label, n in cells["label"].astype(str).value_counts().items():
            print(f"  {label}: {n:,}")
    n_unusual = int((cells["typicality"] < _UNUSUAL).sum())
    print(
        f"{n_unusual:,} cells have a typicality below {_UNUSUAL}; about "
        f"{_UNUSUAL * len(cells):,.0f} of {len(cells):,} are expected by chance"
    )
    print_paths(paths)


def cell_table(data: AnnData | MuData) -> pd.DataFrame:
    """Collect the results for each cell in one table.

    Parameters
    ----------
    data
        Cells with ``multidgd_typicality`` and the annotations of
        :meth:`multiDGD.MultiDGD.annotate`.

    Returns
    -------
    pandas.DataFrame
        Columns ``component``, ``label`` and ``label_probability`` (if the model has labels),
        ``typicality``, ``z1``, ``z2`` and so on; the index is called ``cell``.
    """
    obs = data.obs
    columns = {
        name: obs[f"multidgd_{name}"]
        for name in ("component", "label", "label_probability", "typicality")
        if f"multidgd_{name}" in obs
    }
    columns |= {f"z{d}": z for d, z in enumerate(data.obsm["X_multidgd"].T, 1)}
    return pd.DataFrame(columns, index=data.obs_names).rename_axis("cell")
