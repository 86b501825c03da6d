"""``multidgd info``: describe a model or a data file."""

from __future__ import annotations

import argparse
from pathlib import Path

from multiDGD.cli._describe_data import describe_data
from multiDGD.cli._describe_model import describe_model
from multiDGD.cli._errors import UserError
from multiDGD.cli._read_data import find_modality_key, read_data
from multiDGD.cli._read_model import load_model
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
        run,
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


def run(args: argparse.Namespace) -> None:
    """Print the description of a model folder or a data file.

    Raises
    ------
    UserError
        If there is no such folder or file, or it cannot be read.
    """
    path: Path = args.path
    if not path.exists():
        raise UserError(f"no such file or folder: {path}")
    if path.is_dir():
        print(describe_model(load_model(path)))
        return
    data = read_data(path)
    print(describe_data(data, find_modality_key(data, path, None)))
