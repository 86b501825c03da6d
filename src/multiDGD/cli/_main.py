"""Entry point: arguments in, exit code out."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module

from ._errors import UserError, by_options
from ._parser import build_parser

# That of the commands, and that of the model, which users of scvi-tools listen to.
_LOGGERS = ("multiDGD", "scvi.multiDGD")
# As shells have it: 128 and the number of the signal.
_INTERRUPTED = 130


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
        0 on success, 1 where a file, a name or a value is wrong, 2 where the arguments cannot be
        understood, 130 where it was interrupted.

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
        with _progress_on_stderr():
            # Here and not above: --help and wrong arguments need nothing of what commands import.
            command = import_module(f"._{args.command}", __package__)
            getattr(command, f"run_{args.command}")(args)
    except UserError as error:
        print(f"multidgd: error: {by_options(str(error), args)}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, SystemExit):  # the latter is what lightning makes of the former
        print("multidgd: interrupted", file=sys.stderr)
        return _INTERRUPTED
    return 0


@contextmanager
def _progress_on_stderr() -> Iterator[None]:
    """Show this package's log on standard error, and no warning that the user cannot act on."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [(logger.level, logger.propagate) for logger in loggers]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        # A handler that some library gave a logger above would repeat every line.
        logger.propagate = False
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r"From 0\.4 \.update\(\)")
            yield
    finally:
        for logger, (level, propagate) in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate
