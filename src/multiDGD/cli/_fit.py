"""``multidgd fit``: train on a file."""

from __future__ import annotations

import argparse
import logging
from typing import Any

import pandas as pd
import scvi
from anndata import AnnData
from mudata import MuData

from multiDGD import MultiDGD

from ._errors import UserError, blame_user
from ._io import modality_key_of, read_data, summarize
from ._results import embed, make_folder, score, table, train, write

logger = logging.getLogger(__name__)


def run_fit(args: argparse.Namespace) -> None:
    """Read a file, train on it, print scores and write the results.

    Parameters
    ----------
    args
        Arguments as the parser gives them.

    Raises
    ------
    UserError
        If the file, a key or a value is wrong.

    Examples
    --------
    >>> run_fit(build_parser().parse_args(["fit", "cells.h5ad"]))  # doctest: +SKIP
    """
    logger.info("Reading %s", args.file)
    data = read_data(args.file, args.modality_key)
    score_key = args.score_key or args.labels_key
    if score_key is not None and score_key not in data.obs:
        option = "--score-key" if args.score_key else "--labels-key"
        raise UserError(f"{option}: {score_key!r} is not a column of obs: {list(data.obs)}")
    scvi.settings.seed = args.seed
    with blame_user(ValueError, KeyError, TypeError):
        modality_key = modality_key_of(data, args.file, args.modality_key)
        _setup(data, modality_key, args)
        model = MultiDGD(data, **_given(n_latent=args.n_latent, n_components=args.n_components))
    make_folder(args.out)
    print(summarize(data, modality_key, args.layer), flush=True)

    print(train(model, args.max_epochs, args.out), flush=True)
    latent = embed(model, data, args.seed)
    types, batch = (
        None if key is None else pd.Series(data.obs[key]) for key in (score_key, args.batch_key)
    )
    scores = score(latent, types, batch)
    keys = [key for key in (score_key, args.batch_key, *args.covariate_keys) if key is not None]
    written = write(model, data, args.out, [*keys, "multidgd_component"])
    if scores:
        print(table(scores))
    if args.labels_key is not None and score_key == args.labels_key:
        print(f"({args.labels_key} was shown to the model; --score-key scores without showing)")
    for what, path in written.items():
        print(f"{what}: {path}")


def _setup(data: AnnData | MuData, modality_key: str | None, args: argparse.Namespace) -> None:
    """Register the columns with the model class."""
    columns = {
        "labels_key": args.labels_key,
        "unlabeled_category": args.unlabeled_category,
        "batch_key": args.batch_key,
        "categorical_covariate_keys": args.covariate_keys or None,
    }
    if isinstance(data, AnnData):
        MultiDGD.setup_anndata(data, layer=args.layer, modality_key=modality_key, **columns)
    else:
        layers = None if args.layer is None else dict.fromkeys(data.mod, args.layer)
        MultiDGD.setup_mudata(data, layers=layers, **columns)


def _given(**values: Any) -> dict[str, Any]:
    """Those options that were given: the others keep the model's defaults."""
    return {name: value for name, value in values.items() if value is not None}
