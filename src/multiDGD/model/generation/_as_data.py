"""Counts as the kind of object that a model was set up with."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy import sparse

from multiDGD._mudata import without_pulling
from multiDGD.data import summarize_registry


def as_anndata(
    counts: Mapping[str, sparse.csr_matrix], obs: pd.DataFrame, registry: dict
) -> AnnData:
    """Features of all modalities in one object, in the order of the registered one.

    Parameters
    ----------
    counts
        Of each modality, shape ``(n, f)``.
    obs
        What is known of the cells.
    registry
        That of the model.
    """
    setup = registry["setup_args"]
    features = summarize_registry(registry).features
    names = np.concatenate([features[m] for m in counts])
    modality = np.repeat(list(counts), [len(features[m]) for m in counts])
    order = feature_order(registry, names)
    x = sparse.hstack([counts[m] for m in counts], format="csr")[:, order]
    var = pd.DataFrame(index=pd.Index(names[order]))
    if setup.get("modality_key") is not None:
        var[setup["modality_key"]] = pd.Categorical(modality[order])
    layer = setup.get("layer")
    return AnnData(x, obs=obs, var=var, layers={} if layer is None else {layer: x.copy()})


def as_mudata(
    counts: Mapping[str, sparse.csr_matrix], obs: pd.DataFrame, registry: dict
) -> MuData:
    """Every modality an object of its own; arguments as for :func:`as_anndata`."""
    layers = registry["setup_args"].get("layers") or {}
    features = summarize_registry(registry).features
    parts = {}
    for modality, x in counts.items():
        layer = layers.get(modality)
        parts[modality] = AnnData(
            x,
            obs=obs[[]],
            var=pd.DataFrame(index=pd.Index(features[modality])),
            layers={} if layer is None else {layer: x.copy()},
        )
    with without_pulling(), warnings.catch_warnings():
        # A gene and its protein may have one name, as in the object that was registered.
        warnings.filterwarnings("ignore", message="var_names are not unique")
        found = MuData(parts)
    found.obs = obs
    return found


def feature_order(registry: dict, names: np.ndarray) -> np.ndarray:
    """Positions that bring features into the order of the AnnData that was registered.

    Parameters
    ----------
    registry
        That of the model.
    names
        Names of the features.
    """
    registered = registry["field_registries"]["X"]["state_registry"]["column_names"]
    return pd.Index(names).get_indexer(pd.Index(registered))
