"""Arguments shared by several commands."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

from ._errors import UserError

Commands = argparse._SubParsersAction

# Arguments that name an input, and what they name.
_INPUTS = {"file": "file", "model": "folder", "path": "file or folder"}

MODEL_HELP = "model folder: the --out folder of fit or demo, or a folder written by MultiDGD.save"


def add_command(
    commands: Commands[argparse.ArgumentParser],
    name: str,
    *,
    help: str,
    description: str,
    epilog: str,
) -> argparse.ArgumentParser:
    """Add a command whose epilog keeps its line breaks.

    Parameters
    ----------
    commands
        Return value of ``add_subparsers``.
    name
        Name of the command.
    help
        Summary in the list of commands.
    description, epilog
        First and last part of the command's own help.

    Returns
    -------
    argparse.ArgumentParser
        Parser of the command; the namespace has ``run``.
    """
    parser = commands.add_parser(
        name,
        help=help,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def run(args: argparse.Namespace) -> None:
    """Run the command of the parsed arguments, and import what it needs.

    Parameters
    ----------
    args
        Arguments with the name of the command as ``command``.

    Raises
    ------
    UserError
        If an input does not exist.
    """
    # Imports take seconds; a misspelt path is found before.
    for argument, kind in _INPUTS.items():
        path = getattr(args, argument, None)
        if path is not None and not path.exists():
            raise UserError(f"no such {kind}: {path}")
    import_module(f"multiDGD.cli._commands.{args.command}").run(args)


def add_model_and_file(parser: argparse.ArgumentParser) -> None:
    """Add the positional arguments for a saved model and a data file.

    Parameters
    ----------
    parser
        Parser of the command.
    """
    parser.add_argument("model", type=Path, metavar="MODEL_DIR", help=MODEL_HELP)
    parser.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help=".h5mu, .h5ad or 10x .h5 file with raw counts in X or, if the model was trained on "
        "a layer, in that layer",
    )


#: Lines of the help on files that all commands with a training write.
TRAINING_FILES = """\
  report.html              report: quality, cells, components and training, for any browser
  cellxgene.h5ad           log-normalised counts and UMAP, for cellxgene
  vitessce.json            views of vitessce.zarr, for Vitessce; both require zarr
  model/                   the model, for MultiDGD.load and the other commands
"""


def add_training(parser: argparse.ArgumentParser, out: str) -> None:
    """Add the options for training and for the output folder.

    Parameters
    ----------
    parser
        Parser of the command.
    out
        Default output folder.
    """
    parser.add_argument(
        "--max-epochs",
        type=IntegerFrom(1),
        metavar="N",
        help="maximum number of epochs (default: depends on the number of cells)",
    )
    parser.add_argument(
        "--seed", type=IntegerFrom(0), default=0, metavar="N", help="random seed (default 0)"
    )
    add_out(parser, out)
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace the results of an earlier run in the output folder",
    )


def add_out(parser: argparse.ArgumentParser, default: str) -> None:
    """Add the option for the output folder.

    Parameters
    ----------
    parser
        Parser of the command.
    default
        Default output folder.
    """
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(default),
        metavar="DIR",
        help=f"output folder (default {default})",
    )


class IntegerFrom:
    """Argument type: an integer with a lower bound.

    Parameters
    ----------
    low
        Smallest valid value.

    Examples
    --------
    >>> IntegerFrom(1)("3")
    3
    """

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
