"""Reading of ``model.pt``, the only file of the former format, without running its code."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from threading import Lock
from typing import Any

import torch

from ._pickled import GLOBALS, restore

# Raised by torch, and by the stand-ins, for content that a model cannot have.
_DAMAGED = (
    OSError,
    EOFError,
    RuntimeError,
    ArithmeticError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    AssertionError,
    StopIteration,
)
# torch registers the permitted globals for the whole process.
_lock = Lock()


def read_model_pt(path: Path, trusted: bool = False) -> dict[str, Any]:
    """Read the parameters and attributes in a ``model.pt``.

    Parameters
    ----------
    path
        The file.
    trusted
        Whether to unpickle all objects in the file. This can run any code.

    Returns
    -------
    The content, with the keys ``model_state_dict``, ``var_names`` and ``attr_dict``.

    Raises
    ------
    ValueError
        If the file is damaged, is not a model, or contains other objects than tensors, arrays,
        tables and plain values.
    """
    try:
        # torch does not compare the checksums in the file.
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"the checksum of its part {damaged!r} differs")
        content = _unpickle(path, trusted)
        parts = [content["model_state_dict"], content["attr_dict"]]
        if not all(isinstance(part, dict) for part in parts):
            raise ValueError("it is not a model")
    except (FileNotFoundError, PermissionError):
        raise
    except pickle.UnpicklingError as error:
        raise ValueError(_refusal(path, error)) from error
    except (zipfile.BadZipFile, *_DAMAGED) as error:
        raise ValueError(
            f"{path} is damaged or was not written by `MultiDGD.save`: {error}. Restore it from a "
            "copy, or save the model again."
        ) from error
    return content


def _unpickle(path: Path, trusted: bool) -> dict[str, Any]:
    if trusted:
        return torch.load(path, map_location="cpu", weights_only=False)
    permitted: list[Any] = [(stand_in, name) for name, stand_in in GLOBALS.items()]
    with _lock, torch.serialization.safe_globals(permitted):
        content = torch.load(path, map_location="cpu", weights_only=True)
    return restore(content)


def _refusal(path: Path, error: Exception) -> str:
    reason = str(error).partition("Unsupported global: GLOBAL ")[2].split(" ")[0]
    found = f"the object {reason}" if reason else "objects"
    return (
        f"{path} was not loaded: it contains {found} other than tensors, arrays, tables and plain "
        "values, and loading it could run any code. If you made the file yourself or trust its "
        "author, rewrite it once: "
        "`MultiDGD.convert_legacy_save(folder, new_folder, trusted=True)`."
    )
