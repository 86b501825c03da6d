"""Entry point: arguments in, exit code out."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ._errors import UserError
from ._parser import build_parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Results go to standard output, progress and errors to standard error.

    Parameters
    ----------
    argv
        Arguments without the program's name; those of the process by default.

    Returns
    -------
    int
        0 on success, 2 where the user gave something wrong.

    Examples
    --------
    >>> main(["fit", "missing.h5ad"])
    2
    """
    try:
        args = build_parser().parse_args(argv)
    except SystemExit as stop:
        return int(stop.code or 0)
    try:
        with _progress_on_stderr():
            if args.command == "demo":
                # Here and not above: --help and wrong arguments need nothing of what they import.
                from ._demo import run_demo

                run_demo(args)
            else:
                from ._fit import run_fit

                run_fit(args)
    except UserError as error:
        print(f"multidgd: error: {error}", file=sys.stderr)
        return 2
    return 0


@contextmanager
def _progress_on_stderr() -> Iterator[None]:
    """Show this package's log on standard error, and no warning that the user cannot act on."""
    logger = logging.getLogger("multiDGD")
    level, propagate = logger.level, logger.propagate
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    # A handler that some library gave the root logger would repeat every line.
    logger.propagate = False
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r"From 0\.4 \.update\(\)")
            yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate
