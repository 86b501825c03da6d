"""Arrays of any dtype without objects as arrays of the dtypes that safetensors has."""

from __future__ import annotations

import numpy as np

_NATIVE = {"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"}


def is_storable(dtype: np.dtype) -> bool:
    """Whether values of a dtype are bytes without references to objects.

    Parameters
    ----------
    dtype
        The dtype.
    """
    return not dtype.hasobject and dtype.kind != "V"


def encode_array(array: np.ndarray) -> np.ndarray:
    """Convert an array to a contiguous, little-endian one of a dtype that safetensors has.

    Strings become their code points, in the smallest integers; all other dtypes become bytes.

    Parameters
    ----------
    array
        Array of a storable dtype (:func:`is_storable`).
    """
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    if array.dtype.str[1:] in _NATIVE:
        return little.reshape(array.shape)
    if array.dtype.kind == "U":
        points = np.frombuffer(little.tobytes(), dtype="<u4")
        return points.astype(np.min_scalar_type(points.max(initial=0)))
    return np.frombuffer(little.tobytes(), dtype=np.uint8)


def decode_array(stored: np.ndarray, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """Inverse of :func:`encode_array`.

    Parameters
    ----------
    stored
        Result of :func:`encode_array`.
    dtype, shape
        Those of the original array.
    """
    if not dtype.itemsize:
        return np.zeros(shape, dtype=dtype)
    raw = (stored.astype("<u4") if dtype.kind == "U" else stored).tobytes()
    # The copy is writable, which a view of bytes is not.
    return np.frombuffer(raw, dtype=dtype.newbyteorder("<")).reshape(shape).astype(dtype)
