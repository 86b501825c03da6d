"""What a registry says of the data, with or without the data at hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scvi import REGISTRY_KEYS

from ._categories import N_ADDED_KEY

COUNTS_PREFIX = "counts_"
MODALITY_KEY = "modality"
SINGLE_MODALITY = "counts"


@dataclass(frozen=True)
class DataSummary:
    """Names of everything that a model is built from.

    Attributes
    ----------
    features
        Feature names of each modality, by the modality's name.
    labels
        Known labels, none if there are no labels.
    covariates
        Categories of each categorical covariate, by its name; the batch comes first.
    continuous
        Names of the continuous covariates.
    n_added
        How many of the last categories of each covariate were added by queries.
    """

    features: dict[str, np.ndarray]
    labels: np.ndarray
    covariates: dict[str, np.ndarray]
    continuous: list[str]
    n_added: dict[str, int]

    @property
    def n_features(self) -> dict[str, int]:
        """Number of features of each modality."""
        return {m: len(names) for m, names in self.features.items()}


def _state(registry: dict, key: str) -> dict:
    return registry["field_registries"].get(key, {}).get("state_registry", {})


def _features(registry: dict) -> dict[str, np.ndarray]:
    found = {
        str(field["data_registry"]["mod_key"]): np.asarray(field["state_registry"]["column_names"])
        for key, field in registry["field_registries"].items()
        if key.startswith(COUNTS_PREFIX)
    }
    if found:
        return found
    names = np.asarray(_state(registry, REGISTRY_KEYS.X_KEY)["column_names"])
    modality = _state(registry, MODALITY_KEY)
    if not modality:
        return {SINGLE_MODALITY: names}
    return {
        str(name): names[modality["codes"] == code]
        for code, name in enumerate(modality["categorical_mapping"])
        if (modality["codes"] == code).any()  # a subset may have left a category empty
    }


def summarize_registry(registry: dict) -> DataSummary:
    """Read modalities, labels and covariates from a model's registry.

    Parameters
    ----------
    registry
        As :attr:`scvi.model.base.BaseModelClass.registry`.
    """
    covariates = {}
    n_added = {}
    batch = _state(registry, REGISTRY_KEYS.BATCH_KEY)
    if batch:
        key = str(batch["original_key"])
        covariates[key] = np.asarray(batch["categorical_mapping"])
        n_added[key] = batch.get(N_ADDED_KEY, 0)
    joint = _state(registry, REGISTRY_KEYS.CAT_COVS_KEY)
    for key in joint.get("field_keys", ()):
        covariates[str(key)] = np.asarray(joint["mappings"][key])
        n_added[str(key)] = joint.get(N_ADDED_KEY, {}).get(key, 0)
    labels = _state(registry, REGISTRY_KEYS.LABELS_KEY)
    return DataSummary(
        features=_features(registry),
        labels=np.asarray(labels.get("categorical_mapping", [])),
        covariates=covariates,
        continuous=list(_state(registry, REGISTRY_KEYS.CONT_COVS_KEY).get("columns", ())),
        n_added=n_added,
    )
