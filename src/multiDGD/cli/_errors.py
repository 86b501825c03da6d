"""Errors in the user's input, reported in one line instead of a traceback."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from contextlib import contextmanager

# Arguments of the model whose names differ on the command line.
_OPTION_NAMES = {
    "adata": "FILE",
    "mdata": "FILE",
    "categorical_covariate_keys": "--covariate-keys",
    "fdr_target": "--fdr",
}


class UserError(Exception):
    """Invalid input from the user: a file, a key or a value."""


@contextmanager
def as_user_error(*errors: type[Exception], prefix: str = "") -> Iterator[None]:
    """Convert errors of a call that validates the user's input into a :class:`UserError`.

    Parameters
    ----------
    errors
        Classes that the call raises for invalid input.
    prefix
        Text put before the message.

    Raises
    ------
    UserError
        In place of one of ``errors``, with its message on one line.

    Examples
    --------
    >>> with as_user_error(ValueError):
    ...     int("1")
    1
    """
    try:
        yield
    except errors as error:
        message = str(error.args[0]) if error.args else type(error).__name__
        raise UserError(prefix + " ".join(message.split())) from error


def use_option_names(message: str, args: argparse.Namespace) -> str:
    """Replace the model's argument names in a message by the names of the options.

    Parameters
    ----------
    message
        Message with argument names, or names and values, in backticks.
    args
        Parsed arguments of the command; only their names are used.

    Returns
    -------
    str
        The message. Other names in backticks stay unchanged.

    Examples
    --------
    >>> use_option_names("`batch_key`: 'x' is not in `obs`.", argparse.Namespace(batch_key="x"))
    "--batch-key: 'x' is not in `obs`."
    """

    def option_name(match: re.Match[str]) -> str:
        name, value = match[1], match[2]
        option = _OPTION_NAMES.get(name, f"--{name.replace('_', '-')}")
        if name not in args and name not in _OPTION_NAMES:
            return match[0]
        return option if value is None else f"{option} {value}"

    return re.sub(r"`(\w+)(?:=([^`]*))?`", option_name, message)
