"""Files and folders that are written completely, or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield another path in the same folder, which replaces ``path`` after the block.

    After an error or an interruption, the other path is removed, and ``path`` is as before.

    Parameters
    ----------
    path
        File or folder to write. It may exist, and the block may read it.
    """
    # The suffix stays, because writers choose the format by it.
    partial = path.with_name(f".partial-{path.name}")
    try:
        yield partial
        if partial.is_dir():
            remove(path)
        os.replace(partial, path)
    finally:
        remove(partial)


def remove(path: Path) -> None:
    """Remove a file, or a folder with its contents, if it exists.

    Parameters
    ----------
    path
        The file or folder. Of a link, only the link is removed.
    """
    if path.is_dir() and not path.is_symlink():
        rmtree(path)
    else:
        path.unlink(missing_ok=True)
