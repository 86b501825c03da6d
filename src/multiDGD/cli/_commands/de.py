"""``multidgd de``: differential expression or accessibility between groups of cells."""

from __future__ import annotations

import argparse
from typing import Any

import pandas as pd

from multiDGD._log import logger
from multiDGD.cli._output import NUMBERS, make_folder, print_paths
from multiDGD.cli._read_model import calling_model, read_model_and_data
from multiDGD.stats import is_discovery


def run(args: argparse.Namespace) -> None:
    """Compare groups, print the number of differing features and write the table.

    Raises
    ------
    UserError
        If the model or the file cannot be read, the file does not match the model, or a column,
        group, modality or number is invalid.
    """
    model, data = read_model_and_data(args.model, args.file, args.modality)
    make_folder(args.out)
    compare = (
        model.differential_accessibility if args.accessibility else model.differential_expression
    )
    group1, group2 = _groups(data.obs, args)
    modalities = model.module.modalities
    if args.modality is None and len(modalities) > 1 and not args.accessibility:
        args.modality = model._modality_of_genes(None)
        logger.info("Using modality %s; choose another one with --modality", args.modality)
    with calling_model():
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
            reference=_reference(args.reference),
            order_by=args.order_by,
        )
    path = args.out / "differential.tsv"
    table.to_csv(path, sep="\t", index_label="feature", float_format=NUMBERS)
    print(count_discoveries(table, args.fdr))
    print_paths({"table": path})


def count_discoveries(table: pd.DataFrame, fdr: float) -> str:
    """Count the features that differ in each comparison.

    Parameters
    ----------
    table
        Result of :meth:`multiDGD.MultiDGD.differential_expression`.
    fdr
        Expected fraction of false discoveries.

    Returns
    -------
    str
        One line per comparison.

    a vs b: 1 of 2 features differ at a false discovery rate of 0.05, 1 higher and 0 lower
    """
    # The mode "vanilla" has no fold change; the sign of its Bayes factor gives the higher group.
    sign = "lfc_mean" if "lfc_mean" in table else "bayes_factor"
    lines = []
    for comparison, part in table.groupby("comparison", sort=False):
        found = part[is_discovery(part["lfdr"].to_numpy(), fdr)]
        n_higher = int((found[sign] > 0).sum())
        lines.append(
            f"{comparison}: {len(found):,} of {len(part):,} features differ at a false discovery "
            f"rate of {fdr:g}, {n_higher:,} higher and {len(found) - n_higher:,} lower"
        )
    return "\n".join(lines)


def _reference(given: list[str]) -> str | list[str]:
    """Name of a reference, or names of features."""
    return given[0] if given in (["median"], ["share"]) else given


def _groups(obs: pd.DataFrame, args: argparse.Namespace) -> tuple[list[Any] | None, Any]:
    """Both groups with the values of the data, which may be numbers.

    Unknown names are returned unchanged, and the model reports them.
    """
    if args.groupby not in obs:
        return args.group1, args.group2
    named = {str(group): group for group in obs[args.groupby].unique()}
    group1 = args.group1 and [named.get(name, name) for name in args.group1]
    return group1, named.get(args.group2, args.group2)
