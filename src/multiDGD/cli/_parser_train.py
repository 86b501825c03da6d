"""Arguments of the commands that train: ``demo`` and ``fit``."""

from __future__ import annotations

import argparse
from pathlib import Path

from ._arguments import Commands, add_command, add_out, at_least

_FIT_EPILOG = """\
examples:
  multidgd fit multiome.h5mu --batch-key donor --covariate-keys site stage
  multidgd fit cite.h5ad --modality-key feature_types --layer counts
  multidgd fit partly_labelled.h5mu --labels-key cell_type --unlabeled-category NA
  multidgd fit cells.h5ad --layer counts --score-key cell_type --max-epochs 200

files written to the folder of --out:
  embedding.h5mu or .h5ad  the data with obsm `X_multidgd`, `X_multidgd_<covariate>` and `X_umap`,
                           obs `multidgd_component` and, with labels, `multidgd_label`
  history.png, umap.png    training history; UMAP by batch, labels, covariates and component
  model/                   the model, for MultiDGD.load and the other commands
"""

_DEMO_EPILOG = """\
examples:
  multidgd demo
  multidgd demo --n-cells 500 --seed 1 --out demo

files written to the folder of --out:
  embedding.h5mu           the data with obsm `X_multidgd`, `X_multidgd_batch` and `X_umap`, and
                           obs `multidgd_component`
  history.png, umap.png    training history; UMAP by cell type, batch and component
  model/                   the model, for MultiDGD.load and the other commands
"""


def add_demo(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add ``multidgd demo``."""
    demo = add_command(
        commands,
        "demo",
        help="train on simulated data and compare with the truth",
        description="Simulate a paired multiome with known truth, train, and print how much of "
        "the truth was recovered.",
        epilog=_DEMO_EPILOG,
    )
    demo.add_argument(
        "--n-cells",
        type=at_least(20),
        default=1000,
        metavar="N",
        help="cells to simulate (default 1000)",
    )
    _add_training(demo, "multidgd_demo")


def add_fit(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add ``multidgd fit``."""
    fit = add_command(
        commands,
        "fit",
        help="train on a file of single-cell data",
        description="Train on a file of raw counts and write the cells' representations.",
        epilog=_FIT_EPILOG,
    )
    fit.add_argument("file", type=Path, metavar="FILE", help=".h5mu, .h5ad or 10x .h5")
    keys = fit.add_argument_group("what the columns mean")
    keys.add_argument("--batch-key", metavar="KEY", help="column of obs with the batch")
    keys.add_argument(
        "--covariate-keys",
        nargs="+",
        default=[],
        metavar="KEY",
        help="more categorical columns of obs to integrate over",
    )
    keys.add_argument(
        "--labels-key",
        metavar="KEY",
        help="column of obs with labels; they supervise the mixture",
    )
    keys.add_argument(
        "--unlabeled-category",
        default="unknown",
        metavar="NAME",
        help="the label of unlabelled cells (default: unknown)",
    )
    keys.add_argument(
        "--score-key",
        metavar="KEY",
        help="column of obs with labels that score the result and are not shown to the model",
    )
    keys.add_argument(
        "--modality-key",
        metavar="KEY",
        help="column of var with the modality (.h5ad; feature_types for 10x .h5)",
    )
    keys.add_argument("--layer", metavar="NAME", help="layer with raw counts, instead of X")
    shape = fit.add_argument_group("the model")
    shape.add_argument(
        "--n-latent", type=at_least(1), metavar="N", help="dimensions of the representation"
    )
    shape.add_argument(
        "--n-components", type=at_least(1), metavar="N", help="components of the mixture"
    )
    _add_training(fit, "multidgd_fit")


def _add_training(parser: argparse.ArgumentParser, out: str) -> None:
    parser.add_argument(
        "--max-epochs",
        type=at_least(1),
        metavar="N",
        help="epochs at most (default: by the number of cells)",
    )
    parser.add_argument(
        "--seed", type=at_least(0), default=0, metavar="N", help="seed (default 0)"
    )
    add_out(parser, out)
