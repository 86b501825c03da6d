"""``multidgd impute``: impute a modality that was not measured."""

from __future__ import annotations

import argparse

import pandas as pd
from anndata import AnnData

from multiDGD._log import logger
from multiDGD.cli._output import make_folder, print_paths, without_copies
from multiDGD.cli._read_model import calling_model, read_model_and_data


def run(args: argparse.Namespace) -> None:
    """Embed cells by their measured features and write the imputed counts.

    Raises
    ------
    UserError
        If the model or the file cannot be read, the file does not match the model, or the model
        has no such modality.
    """
    model, data = read_model_and_data(args.model, args.file, args.modality)
    make_folder(args.out)
    logger.info("Embedding %d cells", data.n_obs)
    with calling_model():
        counts = model.impute(data, args.modality, return_numpy=True)
        latent = model.get_latent_representation(data)
    imputed = AnnData(
        counts,
        obs=without_copies(data.obs),
        var=pd.DataFrame(index=model.summary.features[args.modality]),
        obsm={"X_multidgd": latent},
    )
    path = args.out / "imputed.h5ad"
    imputed.write_h5ad(path)
    print(f"{imputed.n_obs:,} cells x {imputed.n_vars:,} features of {args.modality}")
    print_paths({"imputed": path})
