"""``model.json``: content of a save and checksums of its files."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from ._place import DATA, MANIFEST, PARTS, Place

#: Number of the present format. The former one, with only ``model.pt``, counts as 0.
SCHEMA = 1
_FORMAT = "multiDGD model"
_ZEROS = "0" * 64
_AGAIN = "Restore it from a copy, or save the model again."


def checksum(path: Path) -> dict[str, Any]:
    """SHA-256 and size of a file, in bytes.

    Parameters
    ----------
    path
        The file.
    """
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"sha256": digest, "size": os.fstat(file.fileno()).st_size}


def encode_manifest(content: dict[str, Any]) -> bytes:
    """Encode a manifest, with its own checksum.

    Parameters
    ----------
    content
        Values of JSON. The entry ``files`` contains the :func:`checksum` of each file.
    """
    head = {"sha256": _ZEROS, "format": _FORMAT, "schema": SCHEMA}
    text = json.dumps({**head, **content}, indent=1, allow_nan=False) + "\n"
    digest = hashlib.sha256(text.encode()).hexdigest()
    return text.replace(_ZEROS, digest, 1).encode()


def read_manifest(place: Place) -> dict[str, Any]:
    """Read and check a manifest.

    Parameters
    ----------
    place
        Place of the save.

    Raises
    ------
    ValueError
        If the manifest is damaged, foreign or of a later version.
    """
    path = place.current(MANIFEST)
    try:
        raw = path.read_bytes()
        content = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged, or no file of a save: {error}. {_AGAIN}") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise ValueError(
            f"{path} is damaged, or was not written by `MultiDGD.save`. {_AGAIN} If the file "
            "belongs to another program, pass the folder or the `prefix` of the model."
        )
    schema = content.get("schema")
    if type(schema) is int and schema > SCHEMA:
        raise ValueError(
            f"{path} has the schema {schema}; this version of multidgd reads schemas up to "
            f"{SCHEMA}. Update multidgd, or load the model with the version that saved it "
            f"({_version(content)}) and save it with `legacy_pt=True` for `model.pt`."
        )
    digest = content.get("sha256")
    blank = raw.replace(str(digest).encode(), _ZEROS.encode(), 1)
    if hashlib.sha256(blank).hexdigest() != digest:
        raise ValueError(f"{path} is damaged: its content does not match its checksum. {_AGAIN}")
    unknown = set(content["files"]) - {*PARTS, *DATA.values()}
    if unknown:
        raise ValueError(f"{path} lists unknown files {sorted(unknown)}. {_AGAIN}")
    return content


def _version(content: dict[str, Any]) -> str:
    versions = content.get("versions")
    return str(versions.get("multidgd", "unknown")) if isinstance(versions, dict) else "unknown"


def check_file(place: Place, name: str, expected: dict[str, Any]) -> Path:
    """Compare a file with its checksum.

    Parameters
    ----------
    place
        Place of the save.
    name
        Name of the file without the prefix.
    expected
        Its :func:`checksum` in the manifest.

    Returns
    -------
    Path of the file.

    Raises
    ------
    ValueError
        If the file is missing or differs.
    """
    path = place.current(name)
    if not path.is_file():
        raise ValueError(f"{path} is missing. {_AGAIN}")
    found = checksum(path)
    if found != expected:
        lengths = (
            f"it has {found['size']:,} bytes instead of {expected['size']:,}"
            if found["size"] != expected["size"]
            else "its content does not match its checksum"
        )
        raise ValueError(
            f"{path} is damaged, or does not belong to {place.file(MANIFEST).name}: {lengths}. "
            f"{_AGAIN}"
        )
    return path
