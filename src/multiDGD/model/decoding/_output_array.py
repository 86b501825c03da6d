"""Where results are put that may be larger than the memory."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np

_GIB = 2**30


def allocate(shape: tuple[int, ...], out: str | Path | None = None) -> np.ndarray:
    """Zeros of float32 for decoded values, in memory or in a file.

    Parameters
    ----------
    shape
        Its last two are cells and features.
    out
        File to hold the array (``.npy``), which is mapped into memory and never read as a whole.

    Raises
    ------
    ValueError
        If the array is larger than the machine's memory and ``out`` is not given, or ``out``
        does not end in ``.npy``.

    Examples
    --------
    >>> allocate((2, 3)).shape
    (2, 3)
    """
    if out is not None:
        if Path(out).suffix != ".npy":
            raise ValueError(f"`out` must end in .npy, found {str(out)!r}.")
        return np.lib.format.open_memmap(out, mode="w+", dtype=np.float32, shape=shape)
    needed, there = 4 * math.prod(shape), _physical_memory()
    if there is not None and needed > there:
        raise ValueError(
            f"The result, of shape {shape}, takes {needed / _GIB:.0f} GiB and the machine has "
            f"{there / _GIB:.0f}. Ask for fewer features or, by `indices`, for fewer cells, take "
            "the mean of draws, or give `out`, a file to write to."
        )
    return np.zeros(shape, np.float32)


def _physical_memory() -> int | None:
    """In bytes, where the system tells."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
