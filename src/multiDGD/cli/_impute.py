"""``multidgd impute``: a modality that was not measured."""

from __future__ import annotations

import argparse
import logging

import pandas as pd
from anndata import AnnData

from ._model import asking, read_model_and_data
from ._results import make_folder

logger = logging.getLogger(__name__)


def run_impute(args: argparse.Namespace) -> None:
    """Place cells by what was measured in them and write what else they would have counted.

    Parameters
    ----------
    args
        Arguments as the parser gives them.

    Raises
    ------
    UserError
        If model or file cannot be read, do not fit each other, or the model has no such modality.

    Examples
    --------
    >>> argv = ["impute", "multidgd_fit", "rna_only.h5mu", "--modality", "atac"]
    >>> run_impute(build_parser().parse_args(argv))  # doctest: +SKIP
    """
    model, data = read_model_and_data(args.model, args.file, args.modality)
    make_folder(args.out)
    logger.info("Placing %d cells", data.n_obs)
    with asking():
        counts = model.impute(data, args.modality, return_numpy=True)
        latent = model.get_latent_representation(data)
    imputed = AnnData(
        counts,
        obs=data.obs,
        var=pd.DataFrame(index=model.summary.features[args.modality]),
        obsm={"X_multidgd": latent},
    )
    path = args.out / "imputed.h5ad"
    imputed.write_h5ad(path)
    print(f"{imputed.n_obs:,} cells x {imputed.n_vars:,} features of {args.modality}")
    print(f"imputed: {path}")
