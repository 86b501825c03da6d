"""Arguments of ``multidgd de``."""

from __future__ import annotations

import argparse

from multiDGD.cli._shared_arguments import Commands, add_command, add_model_and_file, add_out

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
        help="modality to compare (default: the first of genes; with --accessibility, the last one of "
        "peaks)",
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
