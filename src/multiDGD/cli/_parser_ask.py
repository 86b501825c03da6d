"""Arguments of the commands that ask a saved model: ``embed``, ``impute``, ``de``, ``info``."""

from __future__ import annotations

import argparse
from pathlib import Path

from ._arguments import Commands, add_command, add_out

# What `_model.load_model` takes.
_MODEL_HELP = "folder of a model: that of --out of fit or demo, or of MultiDGD.save"
_FILE_HELP = ".h5mu, .h5ad or 10x .h5 with raw counts where the model was given them"

_EMBED_EPILOG = """\
Cells that the model was trained on keep their place; any others are placed by what was measured
in them. Features and modalities may be missing. Batches that the model does not know are learned
first, with everything else held still. Columns of covariates must be there, labels need not.

examples:
  multidgd embed results new_donor.h5mu
  multidgd embed results/model rna_only.h5ad --out rna_only

files written to the folder of --out:
  embedding.h5mu or .h5ad  the data with obsm `X_multidgd` and `X_multidgd_<covariate>`, obs
                           `multidgd_component`, `multidgd_typicality` and, where labels supervise
                           the model, `multidgd_label`
  cells.tsv                cell, component, label, typicality (near 0: unlike anything that the
                           model knows) and the representation, z1, z2, ...
"""

_IMPUTE_EPILOG = """\
Cells are placed as by `multidgd embed`. A modality that was measured in them has its say in that:
leave it out of FILE to see how good the imputation is.

examples:
  multidgd impute results rna_only.h5mu --modality atac
  multidgd impute results rna_only.h5ad --modality prot --out proteins

files written to the folder of --out:
  imputed.h5ad             cells x features of the modality, counts to be expected, with obs of
                           the cells and their representation in obsm `X_multidgd`
"""

_DE_EPILOG = """\
Without --group1 every group of at least 3 cells is compared, without --group2 with all other
cells.

examples:
  multidgd de results cells.h5mu --groupby cell_type
  multidgd de results cells.h5mu --groupby cell_type --group1 "CD4 T" --group2 "CD8 T" --delta 0.5
  multidgd de results cells.h5mu --groupby cell_type --modality atac --accessibility
  multidgd de results cells.h5mu --groupby disease --group1 case --group2 control --sample-key donor

files written to the folder of --out:
  differential.tsv         features by comparison, surest first; the columns are those of
                           MultiDGD.differential_expression or .differential_accessibility
"""

_INFO_EPILOG = """\
examples:
  multidgd info results
  multidgd info cells.h5mu
  multidgd info filtered_feature_bc_matrix.h5
"""


def add_embed(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add ``multidgd embed``."""
    embed = add_command(
        commands,
        "embed",
        help="place the cells of a file by a saved model",
        description="Place cells by a saved model, with components, labels and how typical they "
        "are.",
        epilog=_EMBED_EPILOG,
    )
    _add_model_and_file(embed)
    add_out(embed, "multidgd_embed")


def add_impute(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add ``multidgd impute``."""
    impute = add_command(
        commands,
        "impute",
        help="counts to be expected in a modality that was not measured",
        description="Counts to be expected of the cells of a file in one modality of the model.",
        epilog=_IMPUTE_EPILOG,
    )
    _add_model_and_file(impute)
    impute.add_argument(
        "--modality", required=True, metavar="NAME", help="the modality of the model to impute"
    )
    add_out(impute, "multidgd_impute")


def add_de(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add ``multidgd de``."""
    de = add_command(
        commands,
        "de",
        help="compare groups of cells, feature by feature",
        description="Features whose share of the counts differs between groups of cells.",
        epilog=_DE_EPILOG,
    )
    _add_model_and_file(de)
    groups = de.add_argument_group("which cells are compared")
    groups.add_argument(
        "--groupby", required=True, metavar="KEY", help="column of obs with the groups"
    )
    groups.add_argument(
        "--group1", nargs="+", metavar="NAME", help="groups to compare, each by itself"
    )
    groups.add_argument("--group2", metavar="NAME", help="the group to compare them with")
    groups.add_argument(
        "--sample-key",
        metavar="KEY",
        help="column of obs with the sample (donor, animal): samples are the replicates then, "
        "and not cells",
    )
    what = de.add_argument_group("what is asked")
    what.add_argument(
        "--modality",
        metavar="NAME",
        help="modality to compare (default: the first, with --accessibility the last)",
    )
    what.add_argument(
        "--mode",
        choices=("change", "vanilla"),
        default="change",
        help="which features differ by more than --delta, or in which group each is higher "
        "(default change)",
    )
    what.add_argument(
        "--delta",
        type=float,
        default=0.25,
        metavar="X",
        help="log2 fold change up to which a feature is unchanged (default 0.25)",
    )
    what.add_argument(
        "--fdr",
        type=float,
        default=0.05,
        metavar="X",
        help="share of false ones among the discoveries (default 0.05)",
    )
    what.add_argument(
        "--batch-correction",
        action="store_true",
        help="compare what the cells would be in all batches alike",
    )
    what.add_argument(
        "--accessibility",
        action="store_true",
        help="for open chromatin: the columns of PeakVI and MultiVI",
    )
    add_out(de, "multidgd_de")


def add_info(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add ``multidgd info``."""
    info = add_command(
        commands,
        "info",
        help="what a model or a file holds",
        description="Print what a saved model or a file of single-cell data holds.",
        epilog=_INFO_EPILOG,
    )
    info.add_argument(
        "path", type=Path, metavar="MODEL_DIR_OR_FILE", help=f"{_MODEL_HELP}; or .h5mu, .h5ad, .h5"
    )


def _add_model_and_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, metavar="MODEL_DIR", help=_MODEL_HELP)
    parser.add_argument("file", type=Path, metavar="FILE", help=_FILE_HELP)
