"""Plain values as JSON and named arrays, without loss of types."""

from __future__ import annotations

import math
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pandas as pd
import torch

from ._arrays import decode_array, encode_array, is_storable
from ._tables import join_table, table_kind, table_parts

#: A value of JSON: `None`, a number, a string, a list or a dictionary with string keys.
Json = Any


class Encoder:
    """Conversion of values to JSON. Large arrays are collected apart.

    JSON has neither tuples, keys other than strings, NaN nor arrays. These become a dictionary
    with one key, the name of the type: ``(1, 2)`` is ``{"tuple": [1, 2]}``. Types are compared
    exactly, because a subclass would be read as its base.

    Attributes
    ----------
    arrays
        Arrays of numbers by name, to be saved beside the JSON.
    """

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}

    def encode(self, value: Any, path: str) -> Json:
        """Encode one value.

        Parameters
        ----------
        value
            The value.
        path
            Python expression of the value, for errors.

        Raises
        ------
        ValueError
            If the value, or one that it contains, has another type than the supported ones. The
            message contains its path.
        """
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"float": repr(value)}
        if type(value) is list:
            return self._items(value, path)
        encode = self._ENCODERS.get(type(value))
        if encode is not None:
            return encode(self, value, path)
        if isinstance(value, np.generic) and is_storable(value.dtype):
            return {"scalar": [value.dtype.str, value.tobytes().hex()]}
        if isinstance(value, PurePath):
            return {"path": str(value)}
        kind = table_kind(value)
        if kind is not None:
            return {kind: self.encode(_parts_of(value, path), path)}
        raise _refused(path, f"an object of the type {_name(value)}")

    def _items(self, values: Any, path: str) -> list[Json]:
        return [self.encode(value, f"{path}[{i}]") for i, value in enumerate(values)]

    def _pairs(self, value: dict, path: str) -> Json:
        if all(type(key) is str for key in value):
            return {"dict": {key: self.encode(v, f"{path}[{key!r}]") for key, v in value.items()}}
        return {
            "items": [
                [self.encode(key, f"{path} key"), self.encode(v, f"{path}[{key!r}]")]
                for key, v in value.items()
            ]
        }

    def _default(self, value: defaultdict, path: str) -> Json:
        factory = _FACTORIES.get(value.default_factory)
        if factory is None:
            raise _refused(path, f"a defaultdict of {value.default_factory}")
        return {"defaultdict": self._pairs(value, path), "factory": factory}

    def _array(self, value: np.ndarray, path: str) -> Json:
        if value.dtype.names is not None:
            parts = [[n, self.encode(value[n], f"{path}[{n!r}]")] for n in value.dtype.names]
            return {"structured": parts, "shape": list(value.shape)}
        if value.dtype == object:
            flat = value.ravel().tolist()
            # `tolist` of object arrays keeps the elements as they are.
            if flat and all(type(element) is str for element in flat):
                return {"strings": self._strings(flat), "shape": list(value.shape)}
            return {"objects": self._items(flat, path), "shape": list(value.shape)}
        if not is_storable(value.dtype):
            raise _refused(path, f"an array of {value.dtype}")
        name = str(len(self.arrays))
        self.arrays[name] = encode_array(value)
        return {"array": name, "dtype": value.dtype.str, "shape": list(value.shape)}

    def _strings(self, values: list[str]) -> list[Json]:
        encoded = [value.encode("utf-8", "surrogatepass") for value in values]
        text = np.frombuffer(b"".join(encoded), dtype=np.uint8)
        return [self._array(text, ""), self._array(np.array([len(e) for e in encoded]), "")]

    def _tensor(self, value: torch.Tensor, path: str) -> Json:
        if value.is_sparse or value.is_quantized or value.dtype == torch.bfloat16:
            raise _refused(path, f"a tensor of the layout {value.layout} and {value.dtype}")
        return {"tensor": self._array(value.detach().cpu().numpy(), path)}

    _ENCODERS: dict[type, Callable[[Encoder, Any, str], Json]] = {
        dict: _pairs,
        OrderedDict: lambda self, value, path: {"ordered": self._pairs(value, path)},
        defaultdict: _default,
        tuple: lambda self, value, path: {"tuple": self._items(value, path)},
        set: lambda self, value, path: {"set": self._items(value, path)},
        frozenset: lambda self, value, path: {"frozenset": self._items(value, path)},
        bytes: lambda self, value, path: {"bytes": value.hex()},
        complex: lambda self, value, path: {"complex": repr(value)},
        slice: lambda self, value, path: {
            "slice": self._items([value.start, value.stop, value.step], path)
        },
        np.ndarray: _array,
        torch.Tensor: _tensor,
        type(pd.NA): lambda self, value, path: {"missing": "NA"},
        type(pd.NaT): lambda self, value, path: {"missing": "NaT"},
    }


class Decoder:
    """Inverse of :class:`Encoder`.

    Parameters
    ----------
    arrays
        The arrays that the encoder collected.
    """

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self._arrays = arrays

    def decode(self, value: Json) -> Any:
        """Decode one value.

        Parameters
        ----------
        value
            Result of :meth:`Encoder.encode`.
        """
        if isinstance(value, list):
            return [self.decode(item) for item in value]
        if not isinstance(value, dict):
            return value
        kind = next(iter(value))
        content = value[kind]
        if kind in self._DECODERS:
            return self._DECODERS[kind](self, content, value)
        return join_table(kind, self.decode(content))

    def _array(self, name: str, value: dict) -> np.ndarray:
        return decode_array(self._arrays[name], np.dtype(value["dtype"]), tuple(value["shape"]))

    def _objects(self, content: list, value: dict) -> np.ndarray:
        return _object_array([self.decode(item) for item in content], value["shape"])

    def _strings(self, content: list, value: dict) -> np.ndarray:
        text, lengths = (self.decode(part) for part in content)
        ends = np.cumsum(lengths)
        raw = text.tobytes()
        parts = (raw[end - n : end] for n, end in zip(lengths, ends, strict=True))
        return _object_array([p.decode("utf-8", "surrogatepass") for p in parts], value["shape"])

    def _structured(self, content: list, value: dict) -> np.ndarray:
        shape = tuple(value["shape"])
        parts = {name: self.decode(part) for name, part in content}
        fields = [(name, part.dtype, part.shape[len(shape) :]) for name, part in parts.items()]
        array = np.empty(shape, dtype=fields)
        for name, part in parts.items():
            array[name] = part
        return array

    _DECODERS: dict[str, Callable[[Decoder, Any, dict], Any]] = {
        "dict": lambda self, content, _: {k: self.decode(v) for k, v in content.items()},
        "ordered": lambda self, content, _: OrderedDict(self.decode(content)),
        "defaultdict": lambda self, content, value: defaultdict(
            _TYPES[value["factory"]], self.decode(content)
        ),
        "items": lambda self, content, _: {self.decode(k): self.decode(v) for k, v in content},
        "tuple": lambda self, content, _: tuple(self.decode(v) for v in content),
        "set": lambda self, content, _: {self.decode(v) for v in content},
        "frozenset": lambda self, content, _: frozenset(self.decode(v) for v in content),
        "bytes": lambda self, content, _: bytes.fromhex(content),
        "complex": lambda self, content, _: complex(content),
        "float": lambda self, content, _: float(content),
        "path": lambda self, content, _: Path(content),
        "slice": lambda self, content, _: slice(*self.decode(content)),
        "scalar": lambda self, content, _: _scalar(np.dtype(content[0]), content[1]),
        "missing": lambda self, content, _: {"NA": pd.NA, "NaT": pd.NaT}[content],
        "array": _array,
        "objects": _objects,
        "strings": _strings,
        "structured": _structured,
        "tensor": lambda self, content, _: torch.from_numpy(self.decode(content)),
    }


#: Names of the types that make the values of a `defaultdict`.
_FACTORIES: dict[Any, str] = {t: t.__name__ for t in (dict, list, set, int, float, str)}
_TYPES: dict[str, Any] = {name: factory for factory, name in _FACTORIES.items()}


def _refused(path: str, found: str) -> ValueError:
    return ValueError(
        f"`{path}` cannot be saved: it is {found}. A save contains numbers, strings, arrays, "
        "pandas tables, and lists, tuples, sets and dictionaries of these. Convert it, delete it, "
        "or rename it: attributes without a trailing underscore are not saved."
    )


def _name(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _parts_of(value: Any, path: str) -> list:
    try:
        return table_parts(value)
    except TypeError as error:
        raise _refused(path, f"{_name(value)}, and {error}") from error


def _scalar(dtype: np.dtype, content: str) -> np.generic:
    # An empty string has no bytes.
    if not dtype.itemsize:
        return dtype.type()
    return np.frombuffer(bytes.fromhex(content), dtype=dtype)[0]


def _object_array(values: list, shape: list[int]) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    # Assigning a slice would unpack elements that are sequences.
    for i, value in enumerate(values):
        array[i] = value
    return array.reshape(shape)
