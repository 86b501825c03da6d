"""Replacement of a save by another one, all at once.

The new files are written to a folder of their own. One rename makes this folder the save. If the
target does not exist, the folder becomes the target. Otherwise the renamed folder is a complete
save inside of the target, which readers prefer, and its files are then moved to their usual names.
At any moment, all files of the older save or all files of the newer one can be read.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from multiDGD.data import logger

from ._lock import locked
from ._manifest import read_manifest
from ._place import DATA, MANIFEST, PARTS, Place


def replace_save(place: Place, write: Callable[[Place], None]) -> None:
    """Write a save and put it in the place of an older one.

    Parameters
    ----------
    place
        Place of the save. Its folder may contain other files and saves with other prefixes.
    write
        Function that writes all files of the save to the place that it is given.
    """
    is_new = not place.folder.exists()
    if is_new:
        place.folder.parent.mkdir(parents=True, exist_ok=True)
        stem = place.folder.parent / f".{place.folder.name}.saving-"
    else:
        stem = place.folder / f".{place.prefix}saving-"
    staging = stem.with_name(stem.name + secrets.token_hex(8))
    with ExitStack() as held:
        # Another process must not take the new folder for one that a killed process has left.
        with locked(stem.parent):
            _remove_left(stem)
            staging.mkdir()
            held.enter_context(locked(staging))
        try:
            write(Place(staging, place.prefix))
            for path in staging.iterdir():
                flush(path)
            flush(staging)
            if is_new:
                os.rename(staging, place.folder)
                flush(place.folder.parent)
            else:
                _commit(staging, place)
        except BaseException as error:
            if staging.exists():
                shutil.rmtree(staging, ignore_errors=True)
                error.add_note(f"{place.folder} is unchanged.")
            raise


def _commit(staging: Path, place: Place) -> None:
    with locked(place.folder):
        _finish(place)
        # From this rename on, the new save is the one that is read.
        os.rename(staging, place.committed)
        flush(place.folder)
        _finish(place)


def _remove_left(stem: Path) -> None:
    """Remove what killed processes have left; those that still write hold a lock."""
    for left in stem.parent.glob(f"{_literal(stem.name)}*"):
        with suppress(OSError), locked(left, wait=False) as is_free:
            if is_free:
                shutil.rmtree(left, ignore_errors=True)


@contextmanager
def reading(place: Place) -> Iterator[None]:
    """Keep other processes from replacing a save while it is read.

    A save that was interrupted after its commit is completed first, because other programs read
    the files by their usual names. A folder that cannot be written to is read as it is.

    Parameters
    ----------
    place
        Place of the save.
    """
    if not place.folder.is_dir():
        yield
        return
    if place.committed.is_dir():
        with locked(place.folder), suppress(OSError):
            _finish(place)
    with locked(place.folder, shared=True):
        yield


def _finish(place: Place) -> None:
    """Move the files of a committed save to their usual names; also after an interruption."""
    committed = place.committed
    if not committed.is_dir():
        return
    if (committed / place.file(MANIFEST).name).exists():
        listed = read_manifest(place)["files"]
        for name in listed:
            if (moving := committed / place.file(name).name).exists():
                os.replace(moving, place.file(name))
        for name in set(PARTS) - set(listed):
            place.file(name).unlink(missing_ok=True)
        for name in set(DATA.values()) - set(listed):
            _set_aside(place.file(name))
        flush(place.folder)
        os.replace(committed / place.file(MANIFEST).name, place.file(MANIFEST))
    committed.rmdir()
    flush(place.folder)


def flush(path: Path) -> None:
    """Write a file, or the names in a folder, to the disk.

    Parameters
    ----------
    path
        The file or folder.
    """
    # Windows cannot open folders.
    if path.is_dir() and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _set_aside(path: Path) -> None:
    """Rename data of an older save, which a reader would take for those of the new one."""
    if not path.exists():
        return
    number = 1
    while (other := path.with_name(f"{path.stem}.older-{number}{path.suffix}")).exists():
        number += 1
    os.replace(path, other)
    logger.warning(
        "The model was saved without data. The data of the older save are now in %s; delete them, "
        "or pass `save_anndata=True`.",
        other,
    )


def _literal(name: str) -> str:
    """Escape the characters that have a meaning in patterns."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)
