"""Errors that the user can mend, told in one line instead of a traceback."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from contextlib import contextmanager

# Arguments of the model that the command line calls otherwise.
_CALLED = {
    "adata": "FILE",
    "mdata": "FILE",
    "categorical_covariate_keys": "--covariate-keys",
    "fdr_target": "--fdr",
}


class UserError(Exception):
    """Something wrong with what the user gave: a file, a key, a value."""


@contextmanager
def blame_user(*errors: type[Exception], doing: str = "") -> Iterator[None]:
    """Turn errors of a call that checks what the user gave into a :class:`UserError`.

    Parameters
    ----------
    errors
        Classes that the call raises for bad input.
    doing
        What failed, put before the message.

    Raises
    ------
    UserError
        In place of one of ``errors``, with its message on one line.

    Examples
    --------
    >>> with blame_user(ValueError):
    ...     int("1")
    1
    """
    try:
        yield
    except errors as error:
        message = str(error.args[0]) if error.args else type(error).__name__
        raise UserError(doing + " ".join(message.split())) from error


def by_options(message: str, args: argparse.Namespace) -> str:
    """Call the model's arguments in a message what they are on the command line.

    Parameters
    ----------
    message
        With names of arguments in backticks.
    args
        Arguments of the command, which say what options it has.

    Examples
    --------
    >>> by_options("`batch_key`: 'x' is not in `obs`.", argparse.Namespace(batch_key="x"))
    "--batch-key: 'x' is not in `obs`."
    """

    def called(found: re.Match[str]) -> str:
        name = found[1]
        option = f"--{name.replace('_', '-')}" if name in args else found[0]
        return _CALLED.get(name, option)

    return re.sub(r"`(\w+)`", called, message)
