"""Arguments that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path

Commands = argparse._SubParsersAction


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
        What ``add_subparsers`` returned.
    name
        Of the command.
    help
        Its line in the list of commands.
    description, epilog
        What its own help begins and ends with.
    """
    return commands.add_parser(
        name,
        help=help,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_out(parser: argparse.ArgumentParser, default: str) -> None:
    """Add the folder for the results.

    Parameters
    ----------
    parser
        Of the command.
    default
        Name of the folder where none is given.
    """
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(default),
        metavar="DIR",
        help=f"folder for the results (default {default})",
    )


class at_least:
    """Argument type: an integer no smaller than a limit.

    Parameters
    ----------
    low
        The limit.

    Examples
    --------
    >>> at_least(1)("3")
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
