"""Conversion of counts to the type of object used in the setup."""

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
    """Combine all modalities in one AnnData, with features in the order of the registered one.

    Parameters
    ----------
    counts
        Counts of each modality, shape ``(n, f)``.
    obs
        Annotation of the cells.
    registry
        Registry of the model.
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
    """Create a MuData with one AnnData for each modality.

    Parameters
    ----------
    counts, obs, registry
        As for :func:`as_anndata`.
    """
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
        # A gene and its protein may share a name, as in the registered object.
        warnings.filterwarnings("ignore", message="var_names are not unique")
        found = MuData(parts)
    found.obs = obs
    return found


def feature_order(registry: dict, names: np.ndarray) -> np.ndarray:
    """Return the positions that sort features in the order of the registered AnnData.

    Parameters
    ----------
    registry
        Registry of the model.
    names
        Names of the features.
    """
    registered = registry["field_registries"]["X"]["state_registry"]["column_names"]
    return pd.Index(names).get_indexer(pd.Index(registered))
