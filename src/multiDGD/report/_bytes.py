"""Arrays as short text: a byte for each cell, compressed (zlib) and in base64."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable

import numpy as np

#: Byte of missing values.
MISSING = 255
# Colours of neighbouring levels cannot be told apart, and fewer levels compress better.
_LEVELS = 127


def pack(values: np.ndarray) -> str:
    """Compress the bytes of an array.

    Parameters
    ----------
    values
        Integers of one or two bytes, of any shape.

    Examples
    --------
    >>> import numpy as np
    >>> pack(np.zeros(1000, dtype=np.uint8))
    'eNpjYBgFo2AUDHcAAAPoAAE='
    """
    little_endian = values.astype(values.dtype.newbyteorder("<"), copy=False)
    return base64.b64encode(zlib.compress(little_endian.tobytes(), 9)).decode("ascii")


def pack_lines(lines: Iterable[str]) -> str:
    """Compress the bytes of lines of text.

    Parameters
    ----------
    lines
        Texts; line breaks in them become spaces.

    Examples
    --------
    >>> pack_lines(["AAACCTG", "AAACGGT"])
    'eNpzdHR0dg5x53IE0u7uIQAeKgPX'
    """
    text = "\n".join(" ".join(line.splitlines()) for line in lines)
    return pack(np.frombuffer(text.encode("utf-8"), dtype=np.uint8))


def quantise(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Quantise numbers to bytes; values outside of the range are set to its ends.

    Parameters
    ----------
    values
        Numbers, shape ``(n,)``; NaN is missing.
    low, high
        Range of the numbers.

    Returns
    -------
    uint8 of shape ``(n,)``: even numbers from 0 (``low``) to 254 (``high``), and 255 if missing.

    Examples
    --------
    >>> import numpy as np
    >>> quantise(np.array([0.0, 0.5, 3.0, np.nan]), 0, 1)
    array([  0, 128, 254, 255], dtype=uint8)
    """
    share = (np.asarray(values, dtype=np.float64) - low) / (high - low if high > low else 1)
    level = np.rint(np.clip(share, 0, 1) * _LEVELS) * 2
    return np.where(np.isnan(share), MISSING, np.nan_to_num(level)).astype(np.uint8)


def plane_integers(xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates as two-byte integers, with the same scale for both axes.

    Parameters
    ----------
    xy
        Coordinates, shape ``(n, 2)``.

    Returns
    -------
    Two arrays of uint16, shape ``(n,)`` each.
    """
    low = xy.min(0)
    extent = float((xy.max(0) - low).max()) or 1.0
    scaled = np.rint((xy - low) / extent * 65_535).astype(np.uint16)
    return scaled[:, 0], scaled[:, 1]
