"""The fields that ``setup_anndata`` and ``setup_mudata`` register."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd
from anndata import AnnData
from mudata import MuData
from scvi import REGISTRY_KEYS
from scvi.data import fields as scvi_fields
from scvi.data.fields import AnnDataField

from ._checks import (
    check_column,
    check_discrete,
    check_names,
    check_numeric,
    check_place_of_columns,
    check_unique_column,
)
from ._count_fields import CountsField, ModalityField, MuDataCountsField
from ._object_checks import check_object
from ._obs_fields import (
    BatchField,
    CovariatesField,
    LabelsField,
    MuDataBatchField,
    MuDataCovariatesField,
    MuDataLabelsField,
)
from ._panels import PANEL_KEY, MuDataPanelField, PanelField
from ._registry import COUNTS_PREFIX, MODALITY_KEY, summarize_registry


class ObsFields(NamedTuple):
    """Field classes of the columns of ``obs``."""

    labels: type
    categorical: type
    categoricals: type
    numericals: type
    panel: type


ADATA = ObsFields(
    LabelsField,
    BatchField,
    CovariatesField,
    scvi_fields.NumericalJointObsField,
    PanelField,
)
MUDATA = ObsFields(
    MuDataLabelsField,
    MuDataBatchField,
    MuDataCovariatesField,
    scvi_fields.MuDataNumericalJointObsField,
    MuDataPanelField,
)


def _obs_fields(
    kind: ObsFields,
    obs: pd.DataFrame,
    is_query: bool,
    *,
    labels_key: str | None,
    unlabeled_category: str,
    batch_key: str | None,
    categorical_covariate_keys: Sequence[str] | None,
    continuous_covariate_keys: Sequence[str] | None,
    panel_key: str | None,
) -> list[AnnDataField]:
    """Check the columns and create their fields. A query needs no labels."""
    covariates = {
        "categorical_covariate_keys": categorical_covariate_keys,
        "continuous_covariate_keys": continuous_covariate_keys,
    }
    for argument, keys in covariates.items():
        if isinstance(keys, str):
            raise ValueError(f"`{argument}` must be a list of columns, found the string {keys!r}.")
        if len(set(keys or ())) < len(keys or ()):
            raise ValueError(f"`{argument}` contains duplicate entries: {list(keys or ())}.")
        for key in keys or ():
            check_column(obs, key, argument, "`obs`")
    categorical, continuous = (list(keys or ()) for keys in covariates.values())
    for key in continuous:
        check_numeric(obs, key, "continuous_covariate_keys")
    for key in categorical:
        check_discrete(obs, key, "categorical_covariate_keys")
    fields: list[AnnDataField] = []
    if labels_key is not None:
        if isinstance(labels_key, str) and labels_key in obs.columns:
            # Cells with missing entries are unlabelled.
            check_unique_column(obs, labels_key, "labels_key", "`obs`")
            check_discrete(obs, labels_key, "labels_key")
        elif not is_query:
            check_column(obs, labels_key, "labels_key", "`obs`")
        fields.append(kind.labels(REGISTRY_KEYS.LABELS_KEY, labels_key, unlabeled_category))
    if batch_key is not None:
        check_column(obs, batch_key, "batch_key", "`obs`")
        check_discrete(obs, batch_key, "batch_key")
        if batch_key in categorical:
            raise ValueError(
                f"`categorical_covariate_keys` contains {batch_key!r}, which is also the "
                "`batch_key`. Name it only once."
            )
        fields.append(kind.categorical(REGISTRY_KEYS.BATCH_KEY, batch_key))
    fields.append(kind.categoricals(REGISTRY_KEYS.CAT_COVS_KEY, categorical))
    fields.append(kind.numericals(REGISTRY_KEYS.CONT_COVS_KEY, continuous))
    if panel_key is not None:
        check_column(obs, panel_key, "panel_key", "`obs`")
        check_discrete(obs, panel_key, "panel_key")
        fields.append(kind.panel(PANEL_KEY, panel_key))
    return fields


def anndata_fields(
    adata: AnnData, *, layer: str | None, modality_key: str | None, is_query: bool, **columns: Any
) -> list[AnnDataField]:
    """Create the fields of an AnnData.

    The other arguments are those of :meth:`multiDGD.MultiDGD.setup_anndata`.

    Parameters
    ----------
    is_query
        Whether the registry of a trained model is transferred to the object.

    Raises
    ------
    ValueError
        If a column is missing or has unsuitable values.
    """
    if not isinstance(adata, AnnData):
        other = " Use `setup_mudata` for it." if isinstance(adata, MuData) else ""
        raise ValueError(f"`adata` must be an AnnData, found {type(adata).__name__}.{other}")
    check_object(adata)
    fields: list[AnnDataField] = [CountsField(REGISTRY_KEYS.X_KEY, layer)]
    if modality_key is not None:
        if not is_query:
            check_column(adata.var, modality_key, "modality_key", "`var`")
        fields.append(ModalityField(MODALITY_KEY, modality_key))
    return fields + _obs_fields(ADATA, adata.obs, is_query, **columns)


def mudata_fields(
    mdata: MuData,
    *,
    modalities: Sequence[str] | None,
    layers: Mapping[str, str | None] | None,
    source_registry: dict | None,
    **columns: Any,
) -> list[AnnDataField]:
    """Create the fields of a MuData.

    The other arguments are those of :meth:`multiDGD.MultiDGD.setup_mudata`.

    Parameters
    ----------
    source_registry
        Registry of a trained model that is transferred to the object. It then defines the
        modalities, some of which may be missing from the object.

    Raises
    ------
    ValueError
        If a modality or column is missing or has unsuitable values.
    """
    if not isinstance(mdata, MuData):
        other = " Use `setup_anndata` for it." if isinstance(mdata, AnnData) else ""
        raise ValueError(f"`mdata` must be a MuData, found {type(mdata).__name__}.{other}")
    check_names(mdata.obs_names, "Cell names (`obs_names`)")
    check_object(mdata)
    if layers is not None and not isinstance(layers, Mapping):
        example = dict.fromkeys(mdata.mod, layers)
        raise ValueError(
            f"`layers` must map modalities to layers, such as {example}, found {layers!r}."
        )
    for argument, given in columns.items():
        if argument.endswith(("_key", "_keys")):
            keys = [given] if isinstance(given, str) else given or ()
            check_place_of_columns(mdata, keys, argument)
    if source_registry is None:
        chosen = check_modalities(mdata, modalities, layers)
    else:
        chosen = list(summarize_registry(source_registry).features)
    fields: list[AnnDataField] = [
        MuDataCountsField(
            # A modality's name can contain characters that are invalid in scvi-tools' keys.
            f"{COUNTS_PREFIX}{number}",
            (layers or {}).get(name),
            modality=name,
            mod_key=name,
            mod_required=True,
        )
        for number, name in enumerate(chosen)
    ]
    return fields + _obs_fields(MUDATA, mdata.obs, source_registry is not None, **columns)


def check_modalities(
    mdata: MuData, modalities: Sequence[str] | None, layers: Mapping[str, str | None] | None
) -> list[str]:
    """Return the names of the modalities to model, in the order of the argument.

    Raises
    ------
    ValueError
        If a modality is missing or repeated, or ``layers`` names a missing modality.
    """
    if isinstance(modalities, str):
        raise ValueError(f"`modalities` must be a list of names, found the string {modalities!r}.")
    chosen = list(mdata.mod) if modalities is None else list(modalities)
    if not chosen:
        raise ValueError("`modalities` is empty. Name at least one modality.")
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"`modalities` contains duplicate entries: {chosen}.")
    for argument, names in (("modalities", chosen), ("layers", list(layers or {}))):
        unknown = [name for name in names if name not in mdata.mod]
        if unknown:
            raise ValueError(
                f"`{argument}`: no modality {unknown}. Available modalities: {list(mdata.mod)}."
            )
    return chosen
