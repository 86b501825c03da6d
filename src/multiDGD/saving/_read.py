"""Reading of a save of any schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import safetensors.numpy
import safetensors.torch
from torch import Tensor

from ._codec import Decoder
from ._contents import Contents
from ._former import read_model_pt
from ._manifest import check_file, read_manifest
from ._place import DATA, FORMER, MANIFEST, RECORDS, REPRESENTATIONS, WEIGHTS, Place


def read_save(place: Place) -> Contents:
    """Read and check the state of a model.

    Parameters
    ----------
    place
        Place of the save.

    Raises
    ------
    ValueError
        If there is no save, or a file is damaged, foreign or of a later version.
    """
    if not place.current(MANIFEST).is_file():
        return read_former(place)
    return _read_contents(place, read_manifest(place))


def read_former(place: Place, trusted: bool = False) -> Contents:
    """Read the state of a model from ``model.pt``.

    Parameters
    ----------
    place
        Place of the save.
    trusted
        As for :func:`multiDGD.saving._former.read_model_pt`.

    Raises
    ------
    ValueError
        If there is no save, or the file is damaged or unsafe.
    """
    path = place.file(FORMER)
    if not path.is_file():
        raise ValueError(
            f"There is no saved model in {place.folder}: found neither "
            f"{place.file(MANIFEST).name} nor {path.name}. Pass the folder and the `prefix` that "
            "were passed to `save`."
        )
    content = read_model_pt(path, trusted)
    parameters = dict(content["model_state_dict"])
    parameters.pop("pyro_param_store", None)
    return Contents(_checked(content["attr_dict"], path), content.get("var_names"), parameters)


def read_registry(place: Place) -> dict[str, Any]:
    """Read the registry of a saved model.

    Parameters
    ----------
    place
        Place of the save.

    Raises
    ------
    ValueError
        As for :func:`read_save`.
    """
    if not place.current(MANIFEST).is_file():
        return read_former(place).attributes["registry_"]
    manifest = read_manifest(place)
    registry = _decode(place, manifest, "registry")["registry"]
    _check_registry(registry, place.current(MANIFEST))
    return registry


def find_data(place: Place, setup_method: str) -> Path | None:
    """Path of the data of a save, compared with their checksum; `None` without data.

    Parameters
    ----------
    place
        Place of the save.
    setup_method
        Name of the method that registered the data.

    Raises
    ------
    ValueError
        If the data are damaged, missing or of another save.
    """
    name = DATA[setup_method]
    if place.current(MANIFEST).is_file():
        expected = read_manifest(place)["files"].get(name)
        if expected is not None:
            return check_file(place, name, expected)
    # Data that were added later, or the data of a save of the former format.
    path = place.file(name)
    return path if path.is_file() else None


def _read_contents(place: Place, manifest: dict[str, Any]) -> Contents:
    files = manifest["files"]
    # `model.pt` is not read. It is optional, but must not belong to another save.
    if FORMER in files and place.current(FORMER).is_file():
        check_file(place, FORMER, files[FORMER])
    parameters: dict[str, Tensor] = {}
    for name in (WEIGHTS, REPRESENTATIONS):
        path = check_file(place, name, files[name])
        parameters |= safetensors.torch.load(path.read_bytes())
    parts = _decode(place, manifest, "registry", "arguments", "var_names", "attributes")
    attributes = {
        **parts["attributes"],
        "registry_": parts["registry"],
        "init_params_": parts["arguments"],
    }
    return Contents(_checked(attributes, place.current(MANIFEST)), parts["var_names"], parameters)


def _decode(place: Place, manifest: dict[str, Any], *names: str) -> dict[str, Any]:
    """Decode entries of a manifest."""
    path = check_file(place, RECORDS, manifest["files"][RECORDS])
    decoder = Decoder(safetensors.numpy.load(path.read_bytes()))
    try:
        return {name: decoder.decode(manifest[name]) for name in names}
    except (LookupError, TypeError, ValueError, AttributeError, StopIteration) as error:
        raise ValueError(
            f"{place.current(MANIFEST)} cannot be read: {error}. Save the model again."
        ) from error


def _checked(attributes: dict[str, Any], path: Path) -> dict[str, Any]:
    """Check what decides which code is called with the values of a file."""
    if "init_params_" not in attributes:
        raise ValueError(f"{path} is no save of a MultiDGD: it has no arguments.")
    _check_registry(attributes.get("registry_"), path)
    wrong = [n for n in attributes if not str(n).endswith("_") or str(n).startswith("__")]
    if wrong:
        raise ValueError(f"{path} is no save of a MultiDGD: it has the attribute {wrong[0]!r}.")
    return attributes


def _check_registry(registry: Any, path: Path) -> None:
    method = registry.get("setup_method_name") if isinstance(registry, dict) else None
    if method not in DATA:
        raise ValueError(
            f"{path} is no save of a MultiDGD: the setup method must be one of {list(DATA)}, "
            f"found {method!r}."
        )
