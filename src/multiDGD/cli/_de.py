"""``multidgd de``: compare groups of cells, feature by feature."""

from __future__ import annotations

import argparse
import logging
from typing import Any

import pandas as pd

from multiDGD.stats import is_discovery

from ._model import asking, read_model_and_data
from ._results import make_folder

logger = logging.getLogger(__name__)

# As many as the model asks for.
_MIN_CELLS = 3


def run_de(args: argparse.Namespace) -> None:
    """Compare groups, print how many features differ and write the table.

    Parameters
    ----------
    args
        Arguments as the parser gives them.

    Raises
    ------
    UserError
        If model or file cannot be read or do not fit each other, or a column, group, modality or
        number is wrong.

    Examples
    --------
    >>> argv = ["de", "multidgd_fit", "cells.h5mu", "--groupby", "cell_type"]
    >>> run_de(build_parser().parse_args(argv))  # doctest: +SKIP
    """
    model, data = read_model_and_data(args.model, args.file, args.modality)
    make_folder(args.out)
    compare = (
        model.differential_accessibility if args.accessibility else model.differential_expression
    )
    group1, group2 = _groups(data.obs, args)
    known = model.module.modalities
    if args.modality is None and len(known) > 1:
        args.modality = known[-1 if args.accessibility else 0]
        logger.info("Features are those of %s; `--modality` names others", args.modality)
    with asking():
        table = compare(
            data,
            groupby=args.groupby,
            group1=group1,
            group2=group2,
            modality=args.modality,
            mode=args.mode,
            delta=args.delta,
            fdr_target=args.fdr,
            batch_correction=args.batch_correction,
            sample_key=args.sample_key,
        )
    path = args.out / "differential.tsv"
    table.to_csv(path, sep="\t", index_label="feature")
    print(count_discoveries(table, args.fdr))
    print(f"table: {path}")


def count_discoveries(table: pd.DataFrame, fdr: float) -> str:
    """Say how many features differ in each comparison.

    Parameters
    ----------
    table
        As :meth:`multiDGD.MultiDGD.differential_expression` returns it.
    fdr
        Expected share of false ones among those that are counted.

    Returns
    -------
    str
        One line for each comparison.

    Examples
    --------
    >>> table = pd.DataFrame({"lfdr": [0.01, 0.9], "lfc_mean": [2.0, 0.1]})
    >>> print(count_discoveries(table.assign(comparison="a vs b"), 0.05))
    a vs b: 1 of 2 features at a false discovery rate of 0.05, 1 higher and 0 lower
    """
    # The mode "vanilla" has no fold change, and its Bayes factor says which group is higher.
    sign = "lfc_mean" if "lfc_mean" in table else "bayes_factor"
    lines = []
    for comparison, part in table.groupby("comparison", sort=False):
        found = part[is_discovery(part["lfdr"].to_numpy(), fdr)]
        n_higher = int((found[sign] > 0).sum())
        lines.append(
            f"{comparison}: {len(found):,} of {len(part):,} features at a false discovery rate of "
            f"{fdr:g}, {n_higher:,} higher and {len(found) - n_higher:,} lower"
        )
    return "\n".join(lines)


def _groups(obs: pd.DataFrame, args: argparse.Namespace) -> tuple[list[Any] | None, Any]:
    """Both groups as the data have them; without `--group1` all that are large enough.

    What is not there is left for the model to tell.
    """
    if args.groupby not in obs:
        return args.group1, args.group2
    sizes = obs[args.groupby].value_counts()
    # Groups may be numbers, which the command line does not know.
    named = {str(group): group for group in sizes.index}
    group2 = named.get(args.group2, args.group2)
    if args.group1 is not None:
        return [named.get(name, name) for name in args.group1], group2
    small = [group for group in sizes.index[sizes < _MIN_CELLS] if group != group2]
    if small:
        logger.info(
            "Left out, having fewer than %d cells: %s", _MIN_CELLS, ", ".join(map(str, small))
        )
    # In the order of the model.
    large = [g for g in pd.Categorical(obs[args.groupby]).categories if g not in {*small, group2}]
    return large or None, group2
