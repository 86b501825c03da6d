"""Arguments of ``multidgd demo``."""

from __future__ import annotations

import argparse

from multiDGD.cli._shared_arguments import (
    TRAINING_FILES,
    Commands,
    IntegerFrom,
    add_command,
    add_training,
)

_EPILOG = f"""\
examples:
  multidgd demo
  multidgd demo --n-cells 500 --seed 1 --out demo

files written to the --out folder:
  embedding.h5mu           the data with obsm `X_multidgd`, `X_multidgd_batch` and `X_umap`, and
                           obs `multidgd_component`
  history.png, umap.png    training history; UMAP by cell type, batch and component
{TRAINING_FILES}"""


def add_parser(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add ``multidgd demo``."""
    parser = add_command(
        commands,
        "demo",
        help="train on simulated data and compare the results with the truth",
        description="Simulate a paired multiome, train a model, and compare the results with the "
        "simulated truth.",
        epilog=_EPILOG,
    )
    parser.add_argument(
        "--n-cells",
        type=IntegerFrom(20),
        default=1000,
        metavar="N",
        help="number of cells to simulate (default 1000)",
    )
    add_training(parser, "multidgd_demo")
