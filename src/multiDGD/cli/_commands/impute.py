"""``multidgd impute``: impute a modality that was not measured."""

from __future__ import annotations

import argparse
import logging

import pandas as pd
from anndata import AnnData

from multiDGD.cli._output import make_folder, print_paths
from multiDGD.cli._read_model import calling_model, read_model_and_data
from multiDGD.cli._shared_arguments import Commands, add_command, add_model_and_file, add_out

logger = logging.getLogger(__name__)

_EPILOG = """\
Cells are embedded as by `multidgd embed`. If FILE contains the modality to impute, its counts also
contribute to the representations. Leave it out of FILE to evaluate the imputation.

examples:
  multidgd impute results rna_only.h5mu --modality atac
  multidgd impute results rna_only.h5ad --modality prot --out proteins

files written to the --out folder:
  imputed.h5ad             cells x features of the modality, expected counts, with the obs of the
                           cells and their representations in obsm `X_multidgd`
"""


def add_parser(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add ``multidgd impute``."""
    parser = add_command(
        commands,
        "impute",
        run,
        help="impute the expected counts of a modality that was not measured",
        description="Impute the expected counts of one modality of the model for the cells of a "
        "file.",
        epilog=_EPILOG,
    )
    add_model_and_file(parser)
    parser.add_argument(
        "--modality", required=True, metavar="NAME", help="modality of the model to impute"
    )
    add_out(parser, "multidgd_impute")


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
        obs=data.obs,
        var=pd.DataFrame(index=model.summary.features[args.modality]),
        obsm={"X_multidgd": latent},
    )
    path = args.out / "imputed.h5ad"
    imputed.write_h5ad(path)
    print(f"{imputed.n_obs:,} cells x {imputed.n_vars:,} features of {args.modality}")
    print_paths({"imputed": path})
