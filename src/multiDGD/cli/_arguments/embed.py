"""Arguments of ``multidgd embed``."""

from __future__ import annotations

import argparse

from multiDGD.cli._shared_arguments import Commands, add_command, add_model_and_file, add_out

_EPILOG = """\
Training cells keep their representations; other cells are embedded from their measured features.
Features and modalities may be missing. Representations of new batches are learned first, with all
other parameters fixed. FILE must have the columns of covariates, but needs no labels.

examples:
  multidgd embed results new_donor.h5mu
  multidgd embed results/model rna_only.h5ad --out rna_only

files written to the --out folder:
  embedding.h5mu or .h5ad  the data with obsm `X_multidgd` and `X_multidgd_<covariate>`, obs
                           `multidgd_component`, `multidgd_typicality` and, if labels supervise
                           the model, `multidgd_label`
  cells.tsv                cell, component, label and its probability, typicality (near 0:
                           unlike any training cell) and the representation, z1, z2, ...
"""


def add_parser(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add ``multidgd embed``."""
    parser = add_command(
        commands,
        "embed",
        help="embed the cells of a file with a saved model",
        description="Embed cells with a saved model and determine their components, labels and "
        "typicality.",
        epilog=_EPILOG,
    )
    add_model_and_file(parser)
    add_out(parser, "multidgd_embed")
