"""Arguments of ``multidgd impute``."""

from __future__ import annotations

import argparse

from multiDGD.cli._shared_arguments import Commands, add_command, add_model_and_file, add_out

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
