"""Errors that the user can mend, told in one line instead of a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


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
