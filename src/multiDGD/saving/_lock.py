"""Locks on folders, which end with the process that holds them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


@contextmanager
def locked(folder: Path, *, shared: bool = False, wait: bool = True) -> Iterator[bool]:
    """Hold a lock on a folder.

    File systems without locks are used without; checksums then still detect mixed files.

    Parameters
    ----------
    folder
        The folder.
    shared
        Whether others can hold a shared lock at the same time.
    wait
        Whether to wait until others release the folder.

    Yields
    ------
    Whether the folder was free.
    """
    if fcntl is None:
        yield True
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield _acquire(descriptor, shared, wait)
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, shared: bool, wait: bool) -> bool:
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(descriptor, kind if wait else kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
