"""Arguments of the command line."""

from __future__ import annotations

import argparse
from pathlib import Path

_EXAMPLES = """\
examples:
  multidgd demo
      simulate a multiome, train, and compare what was recovered with the truth
  multidgd fit multiome.h5mu --batch-key donor --out results
      embed the cells of every modality, integrated over donors
  multidgd fit filtered_feature_bc_matrix.h5
      RNA and peaks of a 10x Multiome, told apart by `feature_types`
  multidgd fit cells.h5ad --layer counts --score-key cell_type --max-epochs 200
      RNA only; the cell types score the result and are not shown to the model

`multidgd demo --help` and `multidgd fit --help` list the options.
"""

_FIT_EXAMPLES = """\
examples:
  multidgd fit multiome.h5mu --batch-key donor --covariate-keys site stage
  multidgd fit cite.h5ad --modality-key feature_types --layer counts
  multidgd fit partly_labelled.h5mu --labels-key cell_type --unlabeled-category NA

files written to the folder of --out:
  embedding.h5mu or .h5ad  the data with obsm `X_multidgd` and `X_umap`, and obs `component`
  history.png, umap.png    training history; UMAP by batch, labels, covariates and component
  model/                   the model, for MultiDGD.load
"""

_DEMO_EPILOG = """\
files written to the folder of --out:
  embedding.h5mu           the data with obsm `X_multidgd` and `X_umap`, and obs `component`
  history.png, umap.png    training history; UMAP by cell type, batch and component
  model/                   the model, for MultiDGD.load
"""


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of all commands.

    Returns
    -------
    argparse.ArgumentParser
        Its ``command`` is ``"demo"`` or ``"fit"``.

    Examples
    --------
    >>> build_parser().parse_args(["demo", "--n-cells", "500"]).n_cells
    500
    """
    parser = argparse.ArgumentParser(
        prog="multidgd",
        description="The multi-omics Deep Generative Decoder for single cells.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="{demo,fit}")
    _add_demo(commands)
    _add_fit(commands)
    return parser


def _add_demo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    demo = commands.add_parser(
        "demo",
        help="train on simulated data and compare with the truth",
        description="Simulate a paired multiome with known truth, train, and print how much of "
        "the truth was recovered.",
        epilog=_DEMO_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    demo.add_argument(
        "--n-cells",
        type=_at_least(20),
        default=1000,
        metavar="N",
        help="cells to simulate (default 1000)",
    )
    _add_common(demo, "multidgd_demo")


def _add_fit(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    fit = commands.add_parser(
        "fit",
        help="train on a file of single-cell data",
        description="Train on a file of raw counts and write the cells' representations.",
        epilog=_FIT_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    fit.add_argument("file", type=Path, metavar="FILE", help=".h5mu, .h5ad or 10x .h5")
    keys = fit.add_argument_group("what the columns mean")
    keys.add_argument("--batch-key", metavar="KEY", help="column of obs with the batch")
    keys.add_argument(
        "--covariate-keys",
        nargs="+",
        default=[],
        metavar="KEY",
        help="more categorical columns of obs to integrate over",
    )
    keys.add_argument(
        "--labels-key",
        metavar="KEY",
        help="column of obs with labels; they supervise the mixture",
    )
    keys.add_argument(
        "--unlabeled-category",
        default="unknown",
        metavar="NAME",
        help="the label of unlabelled cells (default: unknown)",
    )
    keys.add_argument(
        "--score-key",
        metavar="KEY",
        help="column of obs with labels that score the result and are not shown to the model",
    )
    keys.add_argument(
        "--modality-key",
        metavar="KEY",
        help="column of var with the modality (.h5ad; feature_types for 10x .h5)",
    )
    keys.add_argument("--layer", metavar="NAME", help="layer with raw counts, instead of X")
    shape = fit.add_argument_group("the model")
    shape.add_argument(
        "--n-latent", type=_at_least(1), metavar="N", help="dimensions of the representation"
    )
    shape.add_argument(
        "--n-components", type=_at_least(1), metavar="N", help="components of the mixture"
    )
    _add_common(fit, "multidgd_fit")


def _add_common(parser: argparse.ArgumentParser, out: str) -> None:
    parser.add_argument(
        "--max-epochs",
        type=_at_least(1),
        metavar="N",
        help="epochs at most (default: by the number of cells)",
    )
    parser.add_argument(
        "--seed", type=_at_least(0), default=0, metavar="N", help="seed (default 0)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(out),
        metavar="DIR",
        help=f"folder for the results (default {out})",
    )


class _at_least:
    """Argument type: an integer no smaller than a limit."""

    def __init__(self, low: int) -> None:
        self.low = low

    def __call__(self, text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = None
        if value is None or value < self.low:
            raise argparse.ArgumentTypeError(
                f"must be a whole number of at least {self.low}; got {text!r}"
            )
        return value
