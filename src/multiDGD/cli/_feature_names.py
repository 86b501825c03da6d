"""Unique names of the features of 10x files, independent of the order of the features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from anndata import AnnData

from multiDGD import MultiDGD

from ._errors import UserError

TENX_MODALITY_KEY = "feature_types"
_GENES = "Gene Expression"


def unique_names(
    names: Sequence[str], ids: Sequence[str], modalities: Sequence[str]
) -> np.ndarray:
    """Make names unique by identifiers and modalities.

    Features of one modality that share a name get their identifiers as suffix. A gene keeps a name
    that it shares with a feature of another modality, which gets its modality as suffix.

    Parameters
    ----------
    names, ids, modalities
        Name, identifier and modality of each of n features.

    Returns
    -------
    Shape ``(n,)``.

    Examples
    --------
    >>> kinds = ["Antibody Capture", "Gene Expression"]
    >>> print(*unique_names(["CD4", "CD4"], ["P1", "ENSG1"], kinds), sep=", ")
    CD4 (Antibody Capture), CD4
    """
    table = pd.DataFrame({"name": np.asarray(names, str), "id": ids, "kind": modalities})
    table["is_repeated"] = table.duplicated(["name", "kind"], keep=False)
    table["is_shared"] = table.groupby("name")["kind"].transform("nunique") > 1
    found = table["name"].to_numpy(dtype=object, copy=True)
    is_repeated = table["is_repeated"].to_numpy()
    found[is_repeated] += "_" + table["id"].astype(str).to_numpy(dtype=object)[is_repeated]
    is_other = (table["is_shared"] & (table["kind"] != _GENES)).to_numpy()
    found[is_other] += _suffix(table["kind"].astype(str).to_numpy(dtype=object)[is_other])
    return found


def _suffix(kind: str | np.ndarray) -> str | np.ndarray:
    return " (" + kind + ")"


def match_names(model: MultiDGD, data: AnnData, file: object) -> AnnData:
    """Name the features of a 10x file as in a model, and keep those of its modality.

    Suffixes of names depend on the other features of a file.

    Parameters
    ----------
    model
        The model.
    data
        The cells.
    file
        Their file, for messages.

    Raises
    ------
    UserError
        If the model has one modality, and it is unclear which modality of the file it is.
    """
    features = model.summary.features
    if TENX_MODALITY_KEY not in data.var:
        return data
    kinds = data.var[TENX_MODALITY_KEY].astype(str).to_numpy()
    names = data.var_names.to_numpy(dtype=object)
    bare = np.array(
        [n.removesuffix(_suffix(k)) for n, k in zip(names, kinds, strict=True)], dtype=object
    )
    key = model.registry_["setup_args"].get("modality_key")
    if key == TENX_MODALITY_KEY:
        known = {m: set(own) for m, own in features.items()}
        data.var_names = [
            _known_name(name, kind, known.get(kind, set())) or own
            for name, kind, own in zip(bare, kinds, names, strict=True)
        ]
        return data
    if key is not None or len(set(kinds)) == 1:
        return data
    chosen = _assigned({k: bare[kinds == k] for k in dict.fromkeys(kinds)}, features, file)
    if len(chosen) != 1:
        return data
    data = data[:, kinds == chosen[0]].copy()
    data.var_names = bare[kinds == chosen[0]]
    return data


def _assigned(
    names: Mapping[str, np.ndarray], features: Mapping[str, np.ndarray], file: object
) -> list[str]:
    """Modalities of a file that are modalities of a model, by the number of shared names."""
    shared = {
        (kind, m): int(pd.Index(own).isin(names[kind]).sum())
        for kind in names
        for m, own in features.items()
    }
    kinds: list[str] = []
    left = set(features)
    for (kind, m), n in sorted(shared.items(), key=lambda item: -item[1]):
        if not n or kind in kinds or m not in left:
            continue
        equal = [k for k in names if k != kind and k not in kinds and shared[k, m] == n]
        if equal and len(features) == 1:
            raise UserError(
                f"{file} contains the same number of features of the model in {[kind, *equal]}: "
                "write those that the model was fitted on to a file of their own"
            )
        kinds.append(kind)
        left.remove(m)
    return kinds


def _known_name(name: str, kind: str, known: set[str]) -> str | None:
    """Name of a feature in a model, None if it has no such feature."""
    # Former versions appended a number to the second feature with a name.
    candidates = (name, name + str(_suffix(kind)), f"{name}-1")
    return next((candidate for candidate in candidates if candidate in known), None)
