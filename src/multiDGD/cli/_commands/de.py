"""``multidgd de``: differential expression or accessibility between groups of cells."""

from __future__ import annotations

import argparse
import logging
from typing import Any

import pandas as pd

from multiDGD.cli._output import make_folder, print_paths
from multiDGD.cli._read_model import calling_model, read_model_and_data
from multiDGD.cli._shared_arguments import Commands, add_command, add_model_and_file, add_out
from multiDGD.stats import is_discovery

logger = logging.getLogger(__name__)

_EPILOG = """\
Without --group1, every group of at least 3 cells is compared. Without --group2, each group is
compared with all other cells.

examples:
  multidgd de results cells.h5mu --groupby cell_type
  multidgd de results cells.h5mu --groupby cell_type --group1 "CD4 T" --group2 "CD8 T" --delta 0.5
  multidgd de results cells.h5mu --groupby cell_type --modality atac --accessibility
  multidgd de results cells.h5mu --groupby disease --group1 case --group2 control --sample-key donor

files written to the --out folder:
  differential.tsv         one row per feature and comparison, markers of the first group
                           first (see --order-by); columns as in
                           MultiDGD.differential_expression or .differential_accessibility
"""


def add_parser(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add ``multidgd de``."""
    parser = add_command(
        commands,
        "de",
        run,
        help="find features that differ between groups of cells",
        description="Find the features whose share of the counts differs between groups of cells.",
        epilog=_EPILOG,
    )
    add_model_and_file(parser)
    groups = parser.add_argument_group("cells to compare")
    groups.add_argument(
        "--groupby", required=True, metavar="KEY", help="column of obs with the groups"
    )
    groups.add_argument(
        "--group1", nargs="+", metavar="NAME", help="groups to compare, each on its own"
    )
    groups.add_argument("--group2", metavar="NAME", help="group to compare them with")
    groups.add_argument(
        "--sample-key",
        metavar="KEY",
        help="column of obs with the sample (such as donor or animal); samples are then the "
        "replicates instead of cells",
    )
    comparison = parser.add_argument_group("comparison")
    comparison.add_argument(
        "--modality",
        metavar="NAME",
        help="modality to compare (default: the first; with --accessibility, the last)",
    )
    comparison.add_argument(
        "--mode",
        choices=("change", "vanilla"),
        default="change",
        help="change: find features that differ by more than --delta; vanilla: find the group with "
        "the higher share (default change)",
    )
    comparison.add_argument(
        "--delta",
        type=float,
        default=0.25,
        metavar="X",
        help="largest log2 fold change that counts as unchanged (default 0.25)",
    )
    comparison.add_argument(
        "--reference",
        nargs="+",
        default=["median"],
        metavar="NAME",
        help="what counts as unchanged: median (of the fold changes), share (of the counts), or "
        "names of features (default median)",
    )
    comparison.add_argument(
        "--order-by",
        choices=("information", "lfc_bound", "bayes_factor"),
        help="column by which features are sorted (default information; with --mode vanilla, "
        "bayes_factor)",
    )
    comparison.add_argument(
        "--fdr",
        type=float,
        default=0.05,
        metavar="X",
        help="expected fraction of false discoveries (default 0.05)",
    )
    comparison.add_argument(
        "--batch-correction",
        action="store_true",
        help="decode every cell in all batches, with equal weights, instead of only its own",
    )
    comparison.add_argument(
        "--accessibility",
        action="store_true",
        help="for open chromatin: report the columns of PeakVI and MultiVI",
    )
    add_out(parser, "multidgd_de")


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
        args.modality = modalities[0]
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
    table.to_csv(path, sep="\t", index_label="feature")
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
