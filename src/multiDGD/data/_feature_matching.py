"""Matching of an object's features to those of a trained model, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from multiDGD._log import logger

from ._categories import find_categories
from ._checks import check_unique_column, listed

_LOW_SHARE = 0.8  # the share of shared features below which scvi-tools warns


def columns_of(
    adata: AnnData | MuData, features: Mapping[str, np.ndarray], modality_key: str | None = None
) -> dict[str, pd.Index]:
    """Return the object's feature names for each of the model's modalities in it.

    An AnnData object can contain features of every modality. Its column ``modality_key``, if any,
    determines the modality of each feature; otherwise, any feature can be of any modality.

    Parameters
    ----------
    adata
        The object.
    features
        The model's feature names of each modality.
    modality_key
        Column of ``var`` with the modality of each feature.

    Returns
    -------
    One entry for each feature of the object, None if it is of another modality.
    """
    if isinstance(adata, MuData):
        return {m: adata.mod[m].var_names for m in features if m in adata.mod}
    if modality_key is None or modality_key not in adata.var:
        return dict.fromkeys(features, adata.var_names)
    check_unique_column(adata.var, modality_key, "modality_key", "`var`")
    codes, _ = find_categories(adata.var[modality_key], np.array(list(features), dtype=object))
    names = adata.var_names.to_numpy(dtype=object)
    found = {m: np.where(codes == number, names, None) for number, m in enumerate(features)}
    return {m: pd.Index(own, dtype=object) for m, own in found.items() if (codes >= 0).any()}


def observed_features(
    adata: AnnData | MuData, features: Mapping[str, np.ndarray], modality_key: str | None = None
) -> dict[str, np.ndarray]:
    """Return the positions of the model's features that an object contains.

    Parameters
    ----------
    adata
        The object.
    features
        The model's feature names of each modality.
    modality_key
        Column of ``var`` with the modality of each feature, for an AnnData.

    Returns
    -------
    Ascending positions of each modality with at least one of its features.
    """
    found = {}
    for modality, columns in columns_of(adata, features, modality_key).items():
        positions = np.flatnonzero(pd.Index(features[modality]).isin(columns))
        if len(positions):
            found[modality] = positions
    return found


def matched_columns(
    adata: AnnData | MuData, features: Mapping[str, np.ndarray], modality_key: str | None = None
) -> np.ndarray:
    """Return the columns of an AnnData that match features, in the order of the features.

    Parameters
    ----------
    adata
        The object.
    features
        The model's feature names of each modality.
    modality_key
        Column of ``var`` with the modality of each feature.
    """
    found = [np.arange(0)]
    for modality, columns in columns_of(adata, features, modality_key).items():
        position = pd.Index(features[modality]).get_indexer(columns)
        order = np.argsort(position, kind="stable")
        found.append(order[position[order] >= 0])
    return np.concatenate(found)


def check_features(
    adata: AnnData | MuData, features: Mapping[str, np.ndarray], modality_key: str | None = None
) -> None:
    """Raise if an object and a model have no features in common.

    Parameters
    ----------
    adata
        The object.
    features
        The model's feature names of each modality.
    modality_key
        Column of ``var`` with the modality of each feature, for an AnnData.

    Raises
    ------
    ValueError
        If no feature matches, or none of a modality of a MuData does. The message contains some
        names from the model and the object.
    """
    observed = observed_features(adata, features, modality_key)
    n_all = sum(map(len, features.values()))
    if isinstance(adata, MuData):
        columns = columns_of(adata, features)
        if not columns:
            found = {m: part.var_names for m, part in adata.mod.items()}
            raise ValueError(
                f"0 of the model's {n_all} features matched: the object contains no modality "
                f"of the model. Model: {_described(features)}. Object: {_described(found)}. Name "
                "the modalities as in the reference."
            )
        for modality, names in columns.items():
            if modality not in observed:
                known = features[modality]
                raise ValueError(
                    f"0 of the model's {len(known)} features of modality {modality!r} matched. "
                    f"Model: {listed(known)}. Object: {listed(names)}. Name the features as in the "
                    "reference, or remove the modality."
                )
        return
    if not observed and modality_key in adata.var:
        kinds = pd.unique(adata.var[modality_key].astype(object))
        raise ValueError(
            f"0 of the model's {n_all} features matched by modality and name. Model: "
            f"{_described(features)}. Object: {listed(adata.var_names)}, with the modalities "
            f"{listed(kinds)} in `var[{modality_key!r}]`. Name features and modalities as in the "
            "reference, or remove this column to match by name only."
        )
    if not observed:
        raise ValueError(
            f"0 of the model's {n_all} features matched. Model: {_described(features)}. "
            f"Object: {listed(adata.var_names)}. Name the features as in the reference."
        )


def _described(features: Mapping[str, np.ndarray | pd.Index]) -> str:
    """Format modalities and some of their feature names for a message."""
    return "; ".join(f"{m!r} with {listed(names)}" for m, names in features.items())


def log_features(
    adata: AnnData | MuData, features: Mapping[str, np.ndarray], modality_key: str | None = None
) -> None:
    """Log the missing features of the model and the ignored features of an object.

    Parameters
    ----------
    adata
        The object.
    features
        The model's feature names of each modality.
    modality_key
        Column of ``var`` with the modality of each feature, for an AnnData.
    """
    observed = observed_features(adata, features, modality_key)
    columns = columns_of(adata, features, modality_key)
    for modality, names in features.items():
        if modality not in observed:
            logger.info(
                "Modality %r is not measured in these cells; the others are used.", modality
            )
            continue
        n_found = len(observed[modality])
        if n_found < len(names):
            log = logger.warning if n_found < _LOW_SHARE * len(names) else logger.info
            log(
                "%d of the model's %d features of modality %r were found; the missing ones are "
                "ignored.",
                n_found,
                len(names),
                modality,
            )
    if isinstance(adata, MuData):
        extra = {repr(m): len(c) - len(observed.get(m, ())) for m, c in columns.items()}
        ignored = [m for m in adata.mod if m not in features]
        if ignored:
            logger.info("Modalities %s are not in the model and are ignored.", ignored)
        _warn_of_other_names(adata, [m for m in features if m not in observed], ignored, features)
    else:
        extra = {"the object": adata.n_vars - len(matched_columns(adata, features, modality_key))}
    for where, number in extra.items():
        if number:
            logger.info("%d features of %s are not in the model and are ignored.", number, where)


def _warn_of_other_names(
    mdata: MuData,
    missing: Sequence[str],
    ignored: Sequence[str],
    features: Mapping[str, np.ndarray],
) -> None:
    """Warn if an ignored modality has most features of a missing one."""
    for other in ignored:
        for modality in missing:
            names = features[modality]
            n_found = int(np.isin(names, mdata.mod[other].var_names).sum())
            if 2 * n_found > len(names):
                logger.warning(
                    "Modality %r is ignored, but has %d of the %d features of the model's modality "
                    "%r. To use it, make a MuData in which it is called %r.",
                    other,
                    n_found,
                    len(names),
                    modality,
                    modality,
                )
