"""``multidgd info``: what a model or a file holds."""

from __future__ import annotations

import argparse
from pathlib import Path

from ._describe_data import describe_data
from ._describe_model import describe_model
from ._errors import UserError
from ._io import modality_key_of, read_data
from ._model import load_model


def run_info(args: argparse.Namespace) -> None:
    """Print what the folder of a model or a file of data holds.

    Parameters
    ----------
    args
        Arguments as the parser gives them.

    Raises
    ------
    UserError
        If there is no such folder or file, or it cannot be read.

    Examples
    --------
    >>> run_info(build_parser().parse_args(["info", "cells.h5mu"]))  # doctest: +SKIP
    """
    path: Path = args.path
    if not path.exists():
        raise UserError(f"no such file or folder: {path}")
    if path.is_dir():
        print(describe_model(load_model(path)))
        return
    data = read_data(path)
    print(describe_data(data, modality_key_of(data, path, None)))
