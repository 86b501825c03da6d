"""Arguments of the command line."""

from __future__ import annotations

import argparse
from importlib.metadata import PackageNotFoundError, version

from ._parser_ask import add_de, add_embed, add_impute, add_info
from ._parser_train import add_demo, add_fit

_EXAMPLES = """\
examples:
  multidgd demo
      simulate a multiome, train, and compare what was recovered with the truth
  multidgd info multiome.h5mu
      what a file holds, and which columns could be a batch or labels
  multidgd fit multiome.h5mu --batch-key donor --out results
      embed the cells of every modality, integrated over donors
  multidgd fit filtered_feature_bc_matrix.h5
      RNA and peaks of a 10x Multiome, told apart by `feature_types`
  multidgd embed results new_donor.h5mu
      place cells of a new donor among those of the model
  multidgd impute results rna_only.h5mu --modality atac
      what would have been counted in a modality that was not measured
  multidgd de results multiome.h5mu --groupby cell_type
      features whose share of the counts differs between groups of cells

Each command has its own --help. Results are printed to standard output, progress and errors to
standard error. The exit code is 0 on success, 1 where a file, a name or a value is wrong, 2 where
the arguments cannot be understood and 130 where the command was interrupted.
"""


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of all commands.

    Returns
    -------
    argparse.ArgumentParser
        Its ``command`` is the name of one of them.

    Examples
    --------
    >>> build_parser().parse_args(["demo", "--n-cells", "500"]).n_cells
    500
    """
    parser = argparse.ArgumentParser(
        prog="multidgd",
        description="The multi-omics Deep Generative Decoder for single cells.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"multidgd {_version()}")
    commands = parser.add_subparsers(dest="command", required=True)
    for add in (add_demo, add_fit, add_embed, add_impute, add_de, add_info):
        add(commands)
    return parser


def _version() -> str:
    # Not `multiDGD.__version__`, which would import torch to print --help.
    try:
        return version("multidgd")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "0.0.0"
