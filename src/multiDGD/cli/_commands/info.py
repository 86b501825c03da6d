"""``multidgd info``: describe a model or a data file."""

from __future__ import annotations

import argparse
from pathlib import Path

from multiDGD.cli._describe_data import describe_data
from multiDGD.cli._describe_model import describe_model
from multiDGD.cli._read_data import find_modality_key, read_data
from multiDGD.cli._read_model import load_model


def run(args: argparse.Namespace) -> None:
    """Print the description of a model folder or a data file.

    Raises
    ------
    UserError
        If it cannot be read.
    """
    path: Path = args.path
    if path.is_dir():
        print(describe_model(load_model(path)))
        return
    data = read_data(path)
    print(describe_data(data, find_modality_key(data, path, None)))
