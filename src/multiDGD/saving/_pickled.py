"""Stand-ins for the objects of numpy and pandas in a pickle.

The functions by which numpy and pandas restore their pickles have private names that change
between versions, and trust their input. The stand-ins only keep the pickled parts, check them, and
build arrays and tables with public functions. They support what models contain: arrays, scalars
and tables of numbers.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from ._tables import join_table, string_array

_DTYPE = re.compile(r"[?biufcSUOmM]\d*")


class PickledDtype:
    """Stand-in for :class:`numpy.dtype`."""

    def __init__(self, code: str, *_: Any) -> None:
        if not _DTYPE.fullmatch(code):
            raise ValueError(f"unsupported dtype {code!r}")
        self._code = code
        self._byteorder = "="
        self._unit = ""

    def __setstate__(self, state: tuple) -> None:
        if any(part is not None for part in state[2:5]):
            raise ValueError("arrays with fields are not supported")
        self._byteorder = state[1]
        if len(state) > 8 and state[8] is not None:
            unit, number, *_ = state[8][1]
            self._unit = f"[{number}{_text(unit)}]"

    def value(self) -> np.dtype:
        """The dtype."""
        if self._code[0] == "O":
            return np.dtype(object)
        return np.dtype(f"{self._byteorder.replace('|', '=')}{self._code}{self._unit}")


class PickledArray:
    """Stand-in for :class:`numpy.ndarray` and the function that restores it."""

    def __init__(self, *_: Any) -> None:
        self._built: np.ndarray | None = None

    def __setstate__(self, state: tuple) -> None:
        self._state = state

    def value(self) -> np.ndarray:
        """The array; always the same one, because several objects can share it."""
        if self._built is None:
            _, shape, dtype, in_columns, content = self._state
            if dtype.value().kind == "O":
                flat = np.empty(len(content), dtype=object)
                for i, element in enumerate(content):
                    flat[i] = restore(element)
            else:
                flat = np.frombuffer(content, dtype=dtype.value()).copy()
            self._built = flat.reshape(shape, order="F" if in_columns else "C")
        return self._built


def _scalar(dtype: PickledDtype, content: bytes) -> Any:
    if not dtype.value().itemsize:
        return dtype.value().type()
    return np.frombuffer(content, dtype=dtype.value())[0]


class PickledIndex:
    """Stand-in for :class:`pandas.Index` and its subclasses, and the function that restores it."""

    def __init__(self, kind: type, parts: dict[str, Any]) -> None:
        self._kind = kind
        self._parts = parts

    def value(self) -> Any:
        """The index."""
        if self._kind is PickledRange:
            limits = [self._parts[name] for name in ("start", "stop", "step")]
            return join_table("range", [*limits, self._parts["name"]])
        return join_table("index", [restore(self._parts["data"]), self._parts["name"]])


class PickledRange(PickledIndex):
    """Stand-in for :class:`pandas.RangeIndex`."""


class PickledStrings:
    """Stand-in for the array of strings of pandas 3."""

    def __init__(self, *_: Any) -> None:
        self._values: PickledArray | None = None

    def __setstate__(self, state: tuple) -> None:
        # The order of the dtype and the values differs between versions of pandas.
        self._values = next(part for part in state if isinstance(part, PickledArray))

    def value(self) -> Any:
        """The strings."""
        return string_array(restore(self._values))


class PickledStringDtype:
    """Stand-in for :class:`pandas.StringDtype`."""

    def __init__(self, *_: Any) -> None:
        pass


class PickledBlock:
    """Stand-in for columns of the same dtype in a DataFrame."""

    def __init__(self, values: Any, placement: slice, n_dimensions: int) -> None:
        self.values = values
        self.placement = placement


class PickledBlocks:
    """Stand-in for the blocks of a DataFrame."""

    def __init__(self, blocks: tuple[PickledBlock, ...], axes: list) -> None:
        self.blocks = blocks
        self.axes = axes


class PickledFrame:
    """Stand-in for :class:`pandas.DataFrame`."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._blocks: PickledBlocks = state["_mgr"]

    def value(self) -> Any:
        """The table."""
        names, index = restore(self._blocks.axes)
        columns: list = [None] * len(names)
        for block in self._blocks.blocks:
            at = np.arange(len(names))[restore(block.placement)]
            values = restore(block.values)
            # The strings of pandas 3 have a block for each column, without the axis of columns.
            rows = values if values.ndim == 2 else [values]
            for position, row in zip(at, rows, strict=True):
                columns[position] = row
        return join_table("frame", [index, names, columns, {}])


_VALUES = (PickledDtype, PickledArray, PickledIndex, PickledStrings, PickledFrame)


def _text(content: bytes | str) -> str:
    return content.decode() if isinstance(content, bytes) else content


def _dictionary(*_: Any) -> dict:
    return {}


#: The globals of a pickle that are restored, and the object that takes the place of each.
GLOBALS: dict[str, Any] = {
    "builtins.bytes": bytes,
    "builtins.complex": complex,
    "builtins.dict": dict,
    "builtins.frozenset": frozenset,
    "builtins.slice": slice,
    "collections.defaultdict": _dictionary,
    "pathlib.PosixPath": Path,
    "pathlib.WindowsPath": Path,
    "numpy.dtype": PickledDtype,
    "numpy.ndarray": PickledArray,
    "pandas.core.frame.DataFrame": PickledFrame,
    "pandas.core.indexes.base.Index": PickledIndex,
    "pandas.core.indexes.range.RangeIndex": PickledRange,
    "pandas.core.indexes.base._new_Index": PickledIndex,
    "pandas.core.internals.managers.BlockManager": PickledBlocks,
    "pandas._libs.internals._unpickle_block": PickledBlock,
    # pandas 3
    "pandas.DataFrame": PickledFrame,
    "pandas.Index": PickledIndex,
    "pandas.RangeIndex": PickledRange,
    "pandas.StringDtype": PickledStringDtype,
    "pandas.arrays.StringArray": PickledStrings,
    "pandas._libs.arrays.__pyx_unpickle_NDArrayBacked": PickledStrings,
    # numpy 2 and 1
    **{
        f"numpy.{core}.multiarray.{name}": stand_in
        for core in ("_core", "core")
        for name, stand_in in (("_reconstruct", PickledArray), ("scalar", _scalar))
    },
}


def restore(value: Any) -> Any:
    """Replace all stand-ins in a value.

    Parameters
    ----------
    value
        Result of a load with :data:`GLOBALS`.
    """
    if isinstance(value, _VALUES):
        return value.value()
    if type(value) in (dict, OrderedDict):
        return type(value)((restore(k), restore(v)) for k, v in value.items())
    if type(value) in (list, tuple, set, frozenset):
        return type(value)(restore(item) for item in value)
    return value
