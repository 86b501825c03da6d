"""``multidgd fit``: train on a file."""

from __future__ import annotations

import argparse
import sys
from contextlib import redirect_stdout
from typing import Any

import pandas as pd
import scvi
from anndata import AnnData
from mudata import MuData

from multiDGD import MultiDGD
from multiDGD._log import logger
from multiDGD.cli._describe_data import summarize_counts
from multiDGD.cli._errors import UserError, as_user_error
from multiDGD.cli._output import (
    make_folder,
    print_paths,
    refuse_results,
    write_training_results,
)
from multiDGD.cli._read_data import find_modality_key, read_data
from multiDGD.cli._scores import EXPLANATION, format_scores, score
from multiDGD.cli._training import train
from multiDGD.cli._umap import add_umap


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
    with redirect_stdout(sys.stderr):
        model.annotate()
    add_umap(data, args.seed)
    types, batch = (
        None if key is None else pd.Series(data.obs[key]) for key in (score_key, args.batch_key)
    )
    scores = score(data.obsm["X_multidgd"], types, batch)
    given = (score_key, args.labels_key, args.batch_key, *args.covariate_keys)
    result = "multidgd_component" if args.labels_key is None else "multidgd_label"
    keys = [*dict.fromkeys(key for key in given if key is not None), result]
    with redirect_stdout(sys.stderr):
        paths = write_training_results(model, data, args.out, keys, score_key)
    if scores:
        print(format_scores(scores))
        print(EXPLANATION)
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
