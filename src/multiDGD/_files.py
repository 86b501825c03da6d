"""Files that are written completely, or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield another file in the same folder, which replaces ``path`` after the block.

    After an error or an interruption, the other file is removed, and ``path`` is as before.

    Parameters
    ----------
    path
        File to write. It may exist, and the block may read it.
    """
    # The suffix stays, because writers choose the format by it.
    partial = path.with_name(f".partial-{path.name}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
