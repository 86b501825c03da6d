"""Summary of a registry, which requires no data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scvi import REGISTRY_KEYS

COUNTS_PREFIX = "counts_"
MODALITY_KEY = "modality"
N_ADDED_KEY = "n_added"
SINGLE_MODALITY = "counts"


@dataclass(frozen=True)
class DataSummary:
    """Names of the features, labels and covariates of a model.

    Attributes
    ----------
    features
        Feature names of each modality, by the modality's name.
    labels
        Known labels; empty without labels.
    covariates
        Categories of each categorical covariate, by its name. The batch comes first.
    continuous
        Names of the continuous covariates.
    n_added
        Number of the last categories of each covariate that queries have added.
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
        if (modality["codes"] == code).any()  # subsetting can leave a category empty
    }


def summarize_registry(registry: dict) -> DataSummary:
    """Summarise the features, labels and covariates in a registry.

    Parameters
    ----------
    registry
        Registry of a model (``registry_``) or of a :class:`multiDGD.data.CellManager`.
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
