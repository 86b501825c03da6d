"""Arrays for results, which may exceed the memory, and rows written to them."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

_GIB = 2**30
# Many smaller files are slow; rows of larger chunks are slow to read one by one.
_CHUNK_BYTES = 2**22
# Files that make a folder a part of a zarr store.
_METADATA = (".zgroup", ".zarray", "zarr.json")


def check_out(out: str | Path | None, suffixes: Sequence[str] = (".npy", ".zarr")) -> None:
    """Check an ``out`` argument before any computation.

    Parameters
    ----------
    out
        File (``.npy``) or folder of a zarr store (``.zarr``), or None.
    suffixes
        Suffixes that the method accepts.

    Raises
    ------
    ImportError
        If zarr is not installed.
    ValueError
        If the path has another suffix, or a zarr store would replace or extend another one.
    """
    if out is None:
        return
    path = Path(out)
    if path.suffix not in suffixes:
        raise ValueError(f"`out` must end in {' or '.join(suffixes)}, found {str(out)!r}.")
    if path.suffix == ".npy":
        return
    if path.exists():
        raise ValueError(f"`out`: {str(out)!r} exists. Remove it, or choose another name.")
    if any((path.parent / name).exists() for name in _METADATA):
        raise ValueError(
            f"`out`: {str(path.parent)!r} is a part of a zarr store. Choose a place outside it."
        )
    try:
        import zarr  # noqa: F401
    except ImportError as error:
        raise ImportError("`out` requires zarr: `pip install zarr`.") from error


def allocate(shape: tuple[int, ...], dtype: type[np.floating] = np.float32) -> np.ndarray:
    """Allocate zeros in memory.

    Parameters
    ----------
    shape
        Shape of the array.
    dtype
        Type of its values.

    Raises
    ------
    ValueError
        If the array exceeds the memory of the machine.

    Examples
    --------
    >>> allocate((2, 3)).shape
    (2, 3)
    """
    required, available = np.dtype(dtype).itemsize * math.prod(shape), _physical_memory()
    if available is not None and required > available:
        raise ValueError(
            f"The result of shape {shape} requires {required / _GIB:.0f} GiB, but the machine has "
            f"{available / _GIB:.0f} GiB. Select fewer features or, with `indices`, fewer cells; "
            "return the mean of the draws; or pass a file as `out`."
        )
    return np.zeros(shape, dtype)


@contextmanager
def new_array(shape: tuple[int, ...], out: str | Path | None = None) -> Iterator[Any]:
    """Create an array of zeros (float32) for results, in memory or on disk.

    The block writes all rows: after an error or an interruption, a zarr array is removed.

    Parameters
    ----------
    shape
        Shape of the array; the last two dimensions are cells and features.
    out
        File for the array (``.npy``), which is memory-mapped and never read as a whole, or folder
        of a zarr array (``.zarr``), whose chunks are rows.

    Raises
    ------
    ValueError
        If the array exceeds the memory of the machine and ``out`` is not given, or as for
        :func:`check_out`.

    Examples
    --------
    >>> with new_array((2, 3)) as array:
    ...     write_rows(array, [np.ones((1, 3)), np.zeros((1, 3))])
    >>> array.sum(1).tolist()
    [3.0, 0.0]
    """
    check_out(out)
    if out is None:
        yield allocate(shape)
    elif Path(out).suffix == ".npy":
        yield np.lib.format.open_memmap(out, mode="w+", dtype=np.float32, shape=shape)
    else:
        with new_folder(out):
            yield _new_zarr(shape, Path(out))


@contextmanager
def new_folder(path: str | Path) -> Iterator[None]:
    """Remove a folder if the block that creates it raises an error or is interrupted.

    Parameters
    ----------
    path
        Folder, which does not exist before the block.
    """
    try:
        yield
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise


def write_rows(
    array: Any, parts: Iterable[np.ndarray], *, draw: int | None = None, add: bool = False
) -> None:
    """Write consecutive rows to an array, from the first one, and in whole chunks.

    Parameters
    ----------
    array
        Array of :func:`new_array`.
    parts
        Rows, shape ``(n, f)`` each.
    draw
        Position in the first of three dimensions.
    add
        Add the rows to those of the array.
    """
    first = 0
    for rows in _in_chunks(parts, getattr(array, "chunks", (1, 1))[-2]):
        here = slice(first, first + len(rows))
        at = here if draw is None else (draw, here)
        array[at] = array[at] + rows if add else rows
        first = here.stop


def _in_chunks(parts: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Regroup rows; all groups but the last are multiples of a size."""
    held: list[np.ndarray] = []
    for part in parts:
        held.append(part)
        n_held = sum(map(len, held))
        if n_held >= size:
            rows = np.concatenate(held)
            whole = n_held - n_held % size
            yield rows[:whole]
            held = [rows[whole:]]
    if sum(map(len, held)):
        yield np.concatenate(held)


def _new_zarr(shape: tuple[int, ...], path: Path) -> Any:
    """Array that :func:`anndata.io.read_elem` and :class:`anndata.AnnData` accept."""
    import zarr

    n_rows, n_columns = shape[-2:]
    rows = min(n_rows, max(1, _CHUNK_BYTES // (4 * max(n_columns, 1))))
    chunks = (*(1 for _ in shape[:-2]), max(rows, 1), max(n_columns, 1))
    array = zarr.open_array(str(path), mode="w-", shape=shape, chunks=chunks, dtype="float32")
    array.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    return array


def _physical_memory() -> int | None:
    """Memory of the machine in bytes; `None` if unknown."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
