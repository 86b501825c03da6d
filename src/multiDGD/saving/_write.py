"""Writing of a save."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import pandas as pd
import safetensors.numpy
import safetensors.torch
import torch

from ._codec import Encoder
from ._contents import Contents
from ._manifest import checksum, encode_manifest
from ._place import DATA, FORMER, MANIFEST, RECORDS, REPRESENTATIONS, WEIGHTS, Place
from ._swap import replace_save

#: Parameter with one row for each cell, in a file of its own.
TABLE = "representations.z"
_PACKAGES = ("multidgd", "scvi-tools", "anndata", "mudata", "numpy", "pandas", "torch")


def write_save(
    place: Place,
    contents: Contents,
    *,
    write_data: Callable[[Path], Any] | None = None,
    former: bool = True,
    save_kwargs: dict[str, Any] | None = None,
    skip_unsupported: bool = False,
) -> list[str]:
    """Write a save, in the place of an older one if there is one.

    Parameters
    ----------
    place
        Place of the save.
    contents
        State of the model.
    write_data
        Function that writes the data to a path; `None` for a save without data.
    former
        Whether to write ``model.pt`` too.
    save_kwargs
        Arguments of :func:`torch.save`.
    skip_unsupported
        Whether to leave out attributes of types that cannot be saved.

    Returns
    -------
    Names of the attributes that are left out.

    Raises
    ------
    ValueError
        If an attribute has a type that cannot be saved. Nothing has been written.
    """
    left_out = _unsupported(contents) if skip_unsupported else []
    attributes = {n: v for n, v in contents.attributes.items() if n not in left_out}
    contents = replace(contents, attributes=dict(attributes))
    encoder = Encoder()
    content = {
        "versions": {"python": platform.python_version(), **_versions()},
        "registry": encoder.encode(attributes.pop("registry_"), "registry_"),
        "arguments": encoder.encode(attributes.pop("init_params_"), "init_params_"),
        "attributes": {"dict": {n: encoder.encode(v, n) for n, v in attributes.items()}},
        "var_names": encoder.encode(contents.var_names, "var_names"),
    }
    parameters = {name: value.detach() for name, value in contents.parameters.items()}
    # For millions of cells, each copy of the table requires gigabytes.
    table = {n: parameters.pop(n).cpu().contiguous() for n in (TABLE,) if n in parameters}
    # Copies are contiguous and share no memory, as the format requires.
    parameters = {n: value.to("cpu", copy=True).contiguous() for n, value in parameters.items()}

    def write(staging: Place) -> None:
        names = [WEIGHTS, REPRESENTATIONS, RECORDS]
        staging.file(WEIGHTS).write_bytes(safetensors.torch.save(parameters))
        staging.file(REPRESENTATIONS).write_bytes(safetensors.torch.save(table))
        staging.file(RECORDS).write_bytes(safetensors.numpy.save(encoder.arrays))
        if former:
            names.append(FORMER)
            with _Writer(staging.file(FORMER)) as file:
                torch.save(_former(contents), cast(IO[bytes], file), **(save_kwargs or {}))
        if write_data is not None:
            names.append(DATA[contents.setup_method])
            write_data(staging.file(names[-1]))
        files = {name: checksum(staging.file(name)) for name in names}
        staging.file(MANIFEST).write_bytes(encode_manifest({**content, "files": files}))

    replace_save(place, write)
    return left_out


class _Writer:
    """File that raises the reason why it cannot be written, which torch hides."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reason: OSError | None = None

    def __enter__(self) -> _Writer:
        self._file = self._path.open("wb")
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self._file.close()
        except OSError as reason:
            self._reason = self._reason or reason
        if self._reason is not None:
            raise self._reason

    def write(self, data: Any) -> int:
        try:
            return self._file.write(data)
        except OSError as reason:
            self._reason = reason
            raise

    def flush(self) -> None:
        self._file.flush()


def _unsupported(contents: Contents) -> list[str]:
    found = []
    for name, value in contents.attributes.items():
        try:
            Encoder().encode(value, name)
        except ValueError:
            found.append(name)
    return found


def _versions() -> dict[str, str]:
    return {name: version(name) for name in _PACKAGES}


def _former(contents: Contents) -> dict[str, Any]:
    """Content of a ``model.pt`` of scvi-tools."""
    return {
        "model_state_dict": contents.parameters,
        "var_names": contents.var_names,
        "attr_dict": {name: _portable(value) for name, value in contents.attributes.items()},
    }


def _portable(value: Any) -> Any:
    """Make the column names of tables objects: other dtypes depend on versions of libraries."""
    if type(value) is dict:
        return {key: _portable(v) for key, v in value.items()}
    if isinstance(value, pd.DataFrame) and value.columns.dtype != np.dtype(object):
        return value.set_axis(value.columns.astype(object), axis=1)
    return value
