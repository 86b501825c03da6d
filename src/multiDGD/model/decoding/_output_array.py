"""Allocation of results that may exceed the memory."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np

_GIB = 2**30


def allocate(shape: tuple[int, ...], out: str | Path | None = None) -> np.ndarray:
    """Allocate zeros (float32) for decoded values, in memory or in a file.

    Parameters
    ----------
    shape
        Shape of the array; the last two dimensions are cells and features.
    out
        File for the array (``.npy``). The array is memory-mapped and never read as a whole.

    Raises
    ------
    ValueError
        If the array exceeds the memory of the machine and ``out`` is not given, or ``out`` does
        not end in ``.npy``.

    Examples
    --------
    >>> allocate((2, 3)).shape
    (2, 3)
    """
    if out is not None:
        if Path(out).suffix != ".npy":
            raise ValueError(f"`out` must end in .npy, found {str(out)!r}.")
        return np.lib.format.open_memmap(out, mode="w+", dtype=np.float32, shape=shape)
    required, available = 4 * math.prod(shape), _physical_memory()
    if available is not None and required > available:
        raise ValueError(
            f"The result of shape {shape} requires {required / _GIB:.0f} GiB, but the machine has "
            f"{available / _GIB:.0f} GiB. Select fewer features or, with `indices`, fewer cells; "
            "return the mean of the draws; or pass a file as `out`."
        )
    return np.zeros(shape, np.float32)


def _physical_memory() -> int | None:
    """Memory of the machine in bytes; `None` if unknown."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
