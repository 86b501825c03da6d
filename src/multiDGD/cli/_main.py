"""Entry point of ``multidgd``."""

from __future__ import annotations

import argparse
import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from multiDGD._log import logger
from multiDGD._quiet import quiet_mudata

from ._errors import UserError, use_option_names
from ._parser import build_parser

# Convention of shells: 128 plus the number of the signal.
_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Results are printed to standard output, progress and errors to standard error.

    Parameters
    ----------
    argv
        Arguments without the program's name; ``sys.argv[1:]`` by default.

    Returns
    -------
    int
        0 on success, 1 if a file, a name or a value is invalid, 2 if the arguments cannot be
        parsed, 130 if the command is interrupted.

    Examples
    --------
    >>> main(["fit", "missing.h5ad"])
    1
    """
    try:
        args = build_parser().parse_args(argv)
    except SystemExit as stop:
        return int(stop.code or 0)
    try:
        with _log_to_stderr(args):
            args.run(args)
    except UserError as error:
        print(f"multidgd: error: {use_option_names(str(error), args)}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, SystemExit):  # lightning turns the former into the latter
        print("multidgd: interrupted", file=sys.stderr)
        return _INTERRUPTED
    return 0


class _Formatter(logging.Formatter):
    """Messages with the names of options instead of arguments."""

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__("%(message)s")
        self._args = args

    def format(self, record: logging.LogRecord) -> str:
        return use_option_names(super().format(record), self._args)


@contextmanager
def _log_to_stderr(args: argparse.Namespace) -> Iterator[None]:
    """Log to standard error, warnings too, and hide those that the user cannot act on."""
    level, propagate = logger.level, logger.propagate
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(args))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    # Handlers that other libraries attach to parent loggers would repeat every line.
    logger.propagate = False
    try:
        with quiet_mudata(), _warnings_as_messages(args):
            yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


@contextmanager
def _warnings_as_messages(args: argparse.Namespace) -> Iterator[None]:
    """Show warnings without lines of code."""
    show = warnings.showwarning

    def write(message: Warning | str, *others: Any, **more: Any) -> None:
        print(f"Warning: {use_option_names(str(message), args)}", file=sys.stderr)

    warnings.showwarning = write
    try:
        yield
    finally:
        warnings.showwarning = show
