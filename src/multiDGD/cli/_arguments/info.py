"""Arguments of ``multidgd info``."""

from __future__ import annotations

import argparse
from pathlib import Path

from multiDGD.cli._shared_arguments import MODEL_HELP, Commands, add_command

_EPILOG = """\
examples:
  multidgd info results
  multidgd info cells.h5mu
  multidgd info filtered_feature_bc_matrix.h5
"""


def add_parser(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add ``multidgd info``."""
    parser = add_command(
        commands,
        "info",
        help="describe a model or a data file",
        description="Describe a saved model or a file of single-cell data.",
        epilog=_EPILOG,
    )
    parser.add_argument(
        "path",
        type=Path,
        metavar="MODEL_DIR_OR_FILE",
        help=f"{MODEL_HELP}; or a .h5mu, .h5ad or 10x .h5 file",
    )
