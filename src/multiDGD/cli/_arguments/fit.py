"""Arguments of ``multidgd fit``."""

from __future__ import annotations

import argparse
from pathlib import Path

from multiDGD.cli._shared_arguments import (
    TRAINING_FILES,
    Commands,
    IntegerFrom,
    add_command,
    add_training,
)

_EPILOG = f"""\
examples:
  multidgd fit multiome.h5mu --batch-key donor --covariate-keys site stage
  multidgd fit cite.h5ad --modality-key feature_types --layer counts
  multidgd fit partly_labelled.h5mu --labels-key cell_type --unlabeled-category NA
  multidgd fit cells.h5ad --layer counts --score-key cell_type --max-epochs 200

files written to the --out folder:
  embedding.h5mu or .h5ad  the data with obsm `X_multidgd`, `X_multidgd_<covariate>` and `X_umap`,
                           obs `multidgd_component` and, with labels, `multidgd_label`
  history.png, umap.png    training history; UMAP by labels, batch, covariates and component or,
                           with labels, predicted label
{TRAINING_FILES}"""


def add_parser(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add ``multidgd fit``."""
    parser = add_command(
        commands,
        "fit",
        help="train on a file of single-cell data",
        description="Train a model on a file of raw counts and write the representations of its "
        "cells.",
        epilog=_EPILOG,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help=".h5mu, .h5ad or 10x .h5 file")
    data = parser.add_argument_group("columns and layers of the data")
    data.add_argument("--batch-key", metavar="KEY", help="column of obs with the batch")
    data.add_argument(
        "--panel-key",
        metavar="KEY",
        help="column of obs with the antibody panel, often the batch; features without counts in a "
        "panel were not measured there",
    )
    data.add_argument(
        "--covariate-keys",
        nargs="+",
        default=[],
        metavar="KEY",
        help="further categorical columns of obs to integrate over",
    )
    data.add_argument(
        "--labels-key",
        metavar="KEY",
        help="column of obs with labels that supervise the mixture",
    )
    data.add_argument(
        "--unlabeled-category",
        default="unknown",
        metavar="NAME",
        help="label of unlabelled cells (default: unknown)",
    )
    data.add_argument(
        "--score-key",
        metavar="KEY",
        help="column of obs with labels that are used only to score the result",
    )
    data.add_argument(
        "--modality-key",
        metavar="KEY",
        help="column of var with the modality, for .h5ad and .h5 (default for .h5: feature_types)",
    )
    data.add_argument("--layer", metavar="NAME", help="layer with raw counts (default: X)")
    size = parser.add_argument_group("size of the model")
    size.add_argument(
        "--n-latent",
        type=IntegerFrom(1),
        metavar="N",
        help="number of dimensions of the latent space",
    )
    size.add_argument(
        "--n-components", type=IntegerFrom(1), metavar="N", help="number of mixture components"
    )
    add_training(parser, "multidgd_fit")
