"""Modalities and their layers in the form of scvi-tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def modalities_and_layers(
    modalities: Sequence[str] | Mapping[str, str] | None,
    layers: Mapping[str, str | None] | None,
    scvi_layers: Mapping[str, str | None],
) -> tuple[Sequence[str] | None, Mapping[str, str | None] | None]:
    """Names of the modalities and the layer of each, from either form of the arguments.

    Parameters
    ----------
    modalities
        Names, or names by argument of scvi-tools (``{"rna_layer": "rna"}``).
    layers
        Layers by name of the modality.
    scvi_layers
        Layers by argument of scvi-tools (``{"rna_layer": "counts"}``); `None` if not given.

    Raises
    ------
    ValueError
        If both forms are combined, or ``modalities`` maps another argument.
    """
    given = {name: layer for name, layer in scvi_layers.items() if layer is not None}
    if not isinstance(modalities, Mapping):
        if given:
            name, layer = next(iter(given.items()))
            raise ValueError(
                f"`{name}` needs its modality: `modalities={{{name!r}: ...}}`. Or leave it out and "
                f"pass the layer by modality: `layers={{{name.removesuffix('_layer')!r}: "
                f"{layer!r}}}`."
            )
        return modalities, layers
    others = [key for key in modalities if key not in scvi_layers]
    if others:
        raise ValueError(_about(others[0], modalities[others[0]], list(scvi_layers)))
    if layers is not None:
        raise ValueError(
            f"`layers` is for a list of `modalities`; a dictionary has {list(scvi_layers)}."
        )
    unused = [name for name in given if name not in modalities]
    if unused:
        raise ValueError(
            f"`modalities` must map {unused[0]!r} to its modality, found {dict(modalities)}."
        )
    chosen = {modalities[name]: scvi_layers[name] for name in modalities}
    if len(chosen) < len(modalities):
        raise ValueError(f"`modalities` contains duplicate entries: {dict(modalities)}.")
    return list(chosen), chosen


def _about(key: str, modality: str, known: list[str]) -> str:
    """Message about a key of ``modalities`` that is no layer."""
    if key.endswith(("_key", "_keys")):
        return (
            f"`modalities`: columns are those of the MuData, not of a modality. Leave out {key!r}, "
            f'and copy the column: `mdata.obs["batch"] = mdata[{modality!r}].obs["batch"]`.'
        )
    return (
        f"`modalities` must be a list of names, or map {known} to names of modalities, found the "
        f"key {key!r}."
    )
