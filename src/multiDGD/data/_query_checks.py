"""Check of a query object against a trained model."""

from __future__ import annotations

from anndata import AnnData
from mudata import MuData

from ._categories import check_categories
from ._checks import check_column, check_numeric, check_place_of_columns
from ._feature_matching import check_features
from ._object_checks import check_object
from ._registry import DataSummary


def check_query(
    adata: AnnData | MuData,
    summary: DataSummary,
    batch_key: str | None,
    modality_key: str | None,
    panel_key: str | None,
    extend: bool,
) -> None:
    """Raise if a query does not fit a trained model, before the query is modified.

    Parameters
    ----------
    adata
        The query.
    summary
        Features and covariates of the model.
    batch_key
        Name of the batch among the covariates.
    modality_key
        Column of ``var`` with the modality of each feature.
    panel_key
        Column of the panels, if the model has any.
    extend
        Whether the query model learns new categories.

    Raises
    ------
    ValueError
        If no feature matches, a column is missing, or a category is new and ``extend`` is False.
    """
    check_object(adata)
    check_features(adata, summary.features, modality_key)
    if panel_key is not None:
        _check_column(adata, panel_key, "panel_key")
    for key, categories in summary.covariates.items():
        argument = "batch_key" if key == batch_key else "categorical_covariate_keys"
        _check_column(adata, key, argument)
        if not extend:
            check_categories(adata.obs, key, argument, categories)
    for key in summary.continuous:
        _check_column(adata, key, "continuous_covariate_keys")
        check_numeric(adata.obs, key, "continuous_covariate_keys")


def _check_column(adata: AnnData | MuData, key: str, argument: str) -> None:
    if isinstance(adata, MuData):
        check_place_of_columns(adata, [key], argument)
    check_column(adata.obs, key, argument, "`obs`")
