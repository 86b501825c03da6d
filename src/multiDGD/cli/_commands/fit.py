"""``multidgd fit``: train on a file."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

import pandas as pd
import scvi
from anndata import AnnData
from mudata import MuData

from multiDGD import MultiDGD
from multiDGD.cli._describe_data import summarize_counts
from multiDGD.cli._errors import UserError, as_user_error
from multiDGD.cli._output import (
    make_folder,
    print_paths,
    refuse_results,
    write_training_results,
)
from multiDGD.cli._read_data import find_modality_key, read_data
from multiDGD.cli._scores import format_scores, score
from multiDGD.cli._shared_arguments import Commands, IntegerFrom, add_command, add_training
from multiDGD.cli._training import train
from multiDGD.cli._umap import add_umap

logger = logging.getLogger(__name__)

_EPILOG = """\
examples:
  multidgd fit multiome.h5mu --batch-key donor --covariate-keys site stage
  multidgd fit cite.h5ad --modality-key feature_types --layer counts
  multidgd fit partly_labelled.h5mu --labels-key cell_type --unlabeled-category NA
  multidgd fit cells.h5ad --layer counts --score-key cell_type --max-epochs 200

files written to the --out folder:
  embedding.h5mu or .h5ad  the data with obsm `X_multidgd`, `X_multidgd_<covariate>` and `X_umap`,
                           obs `multidgd_component` and, with labels, `multidgd_label`
  history.png, umap.png    training history; UMAP by batch, labels, covariates and component
  report.html              report: quality, cells, components and training, for any browser
  cellxgene.h5ad           log-normalised counts and UMAP, for cellxgene
  model/                   the model, for MultiDGD.load and the other commands
"""


def add_parser(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add ``multidgd fit``."""
    parser = add_command(
        commands,
        "fit",
        run,
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


def run(args: argparse.Namespace) -> None:
    """Read a file, train on it, print the scores and write the results.

    Raises
    ------
    UserError
        If the file, a key or a value is invalid, or the output folder contains results and
        ``--overwrite`` was not given.
    """
    refuse_results(args.out, args.overwrite)
    logger.info("Reading %s", args.file)
    data = read_data(args.file, args.modality_key)
    score_key = args.score_key or args.labels_key
    if score_key is not None and score_key not in data.obs:
        option = "--score-key" if args.score_key else "--labels-key"
        raise UserError(
            f"{option}: {score_key!r} is not a column of obs; its columns are {list(data.obs)}"
        )
    scvi.settings.seed = args.seed
    with as_user_error(ValueError, KeyError, TypeError):
        modality_key = find_modality_key(data, args.file, args.modality_key)
        _setup(data, modality_key, args)
        model = MultiDGD(data, **_given(n_latent=args.n_latent, n_components=args.n_components))
    make_folder(args.out)
    print(summarize_counts(data, modality_key, args.layer), flush=True)

    print(train(model, args.max_epochs, args.out, args.file), flush=True)
    model.annotate()
    add_umap(data, args.seed)
    types, batch = (
        None if key is None else pd.Series(data.obs[key]) for key in (score_key, args.batch_key)
    )
    scores = score(data.obsm["X_multidgd"], types, batch)
    keys = [key for key in (score_key, args.batch_key, *args.covariate_keys) if key is not None]
    paths = write_training_results(model, data, args.out, [*keys, "multidgd_component"], score_key)
    if scores:
        print(format_scores(scores))
    if args.labels_key is not None and score_key == args.labels_key:
        print(f"({args.labels_key} was used for training; --score-key takes independent labels)")
    print_paths(paths)


def _setup(data: AnnData | MuData, modality_key: str | None, args: argparse.Namespace) -> None:
    """Register the data with the model class."""
    columns = {
        "labels_key": args.labels_key,
        "unlabeled_category": args.unlabeled_category,
        "batch_key": args.batch_key,
        "categorical_covariate_keys": args.covariate_keys or None,
        "panel_key": args.panel_key,
    }
    if isinstance(data, AnnData):
        MultiDGD.setup_anndata(data, layer=args.layer, modality_key=modality_key, **columns)
    else:
        layers = None if args.layer is None else dict.fromkeys(data.mod, args.layer)
        MultiDGD.setup_mudata(data, layers=layers, **columns)


def _given(**values: Any) -> dict[str, Any]:
    """Keep the options that were given; the model has defaults for the others."""
    return {name: value for name, value in values.items() if value is not None}
