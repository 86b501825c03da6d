"""scvi-tools fields of ``obs``: labels, batch and categorical covariates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scvi.data.fields import CategoricalJointObsField, CategoricalObsField, MuDataWrapper

from multiDGD._log import logger

from ._categories import (
    add_categories,
    check_categories,
    encode_categories,
    find_categories,
    text_of,
)
from ._checks import check_unique_column, listed
from ._registry import N_ADDED_KEY

# Spellings of missing labels, in lower case.
_UNKNOWN = {
    *("", "unknown", "unlabeled", "unlabelled", "unassigned", "unannotated", "undefined"),
    *("nan", "na", "n/a", "<na>", "nat", "none", "null", "missing", "not available"),
}


class LabelsField(CategoricalObsField):
    """Labels, some of which may be unknown.

    Codes count the known categories from 0. The code is -1 where the label is missing, is the
    unlabelled category, or is absent from the training data.

    Parameters
    ----------
    registry_key
        Key in the data registry.
    attr_key
        Column of ``obs``.
    unlabeled_category
        Value of ``obs`` that marks unlabelled cells.
    """

    def __init__(self, registry_key: str, attr_key: str, unlabeled_category: str) -> None:
        super().__init__(registry_key, attr_key)
        self._labels_key = attr_key
        self._unlabeled_category = unlabeled_category

    def register_field(self, adata: AnnData) -> dict:
        """Encode the labels.

        Raises
        ------
        ValueError
            If no cell has a label.
        """
        column = adata.obs[self._labels_key]
        unlabelled, _ = find_categories(column, np.array([self._unlabeled_category], object))
        is_known = (unlabelled < 0) & column.notna().to_numpy()
        # Sorted, whatever the order of the categories of a categorical column.
        _, categories = encode_categories(column[is_known].astype(object))
        if not len(categories):
            raise ValueError(
                f"`labels_key`: no cell has a label in {self._labels_key!r}; all entries are "
                f"missing or {self._unlabeled_category!r}. Omit `labels_key`."
            )
        codes, _ = find_categories(column.where(is_known), categories)
        self._warn_of_unknown(codes, categories)
        adata.obs[self.attr_key] = codes
        return {
            self.CATEGORICAL_MAPPING_KEY: categories,
            self.ORIGINAL_ATTR_KEY: self._labels_key,
        }

    def _warn_of_unknown(self, codes: np.ndarray, categories: np.ndarray) -> None:
        """Log a warning if a label is a spelling of a missing one."""
        spellings = [i for i, c in enumerate(categories) if text_of(c).strip().lower() in _UNKNOWN]
        if spellings:
            counts = ", ".join(
                f"{text_of(categories[i])!r} ({(codes == i).sum()} cells)" for i in spellings
            )
            logger.warning(
                "`labels_key`: %s of %r became labels like any other. If they mark unlabelled "
                "cells, set up the data with `unlabeled_category=%r`%s.",
                counts,
                self._labels_key,
                text_of(categories[spellings[0]]),
                " and make the others missing (`None`)" if len(spellings) > 1 else "",
            )

    def transfer_field(
        self, state_registry: dict, adata_target: AnnData, **kwargs: object
    ) -> dict:
        """Encode the labels of another object; without the column, all cells are unlabelled."""
        key = self._labels_key
        if key not in adata_target.obs:
            logger.info("Labels column %r is missing: all cells are unlabelled.", key)
            adata_target.obs[self.attr_key] = np.full(adata_target.n_obs, -1)
            return state_registry
        check_unique_column(adata_target.obs, key, "labels_key", "`obs`")
        known = np.asarray(state_registry[self.CATEGORICAL_MAPPING_KEY])
        codes, unknown = find_categories(adata_target.obs[key], known)
        unlabelled = np.array([self._unlabeled_category], dtype=object)
        _, unknown = find_categories(pd.Series(unknown, dtype=object), unlabelled)
        if len(unknown):
            logger.info(
                "Cells with labels in %r that the model does not have are unlabelled: %s.",
                key,
                listed(unknown),
            )
        adata_target.obs[self.attr_key] = codes
        return state_registry


class BatchField(CategoricalObsField):
    """A categorical covariate to which a query can append categories.

    The registry counts the appended categories, because the parameters of the others stay fixed.
    Categories without cells are dropped, so that every component is fitted to cells.

    Parameters
    ----------
    registry_key
        Key in the data registry.
    attr_key
        Column of ``obs``.
    """

    def __init__(self, registry_key: str, attr_key: str) -> None:
        super().__init__(registry_key, attr_key)
        self._key = attr_key

    def register_field(self, adata: AnnData) -> dict:
        """Encode the categories."""
        key = self._key
        codes, categories = encode_categories(adata.obs[key])
        adata.obs[self.attr_key] = codes
        return {self.CATEGORICAL_MAPPING_KEY: categories, self.ORIGINAL_ATTR_KEY: key}

    def transfer_field(
        self,
        state_registry: dict,
        adata_target: AnnData,
        extend_categories: bool = False,
        **kwargs: Any,
    ) -> dict:
        """Encode the categories of another object.

        Raises
        ------
        ValueError
            If a category is new and ``extend_categories`` is False.
        """
        key = state_registry[self.ORIGINAL_ATTR_KEY]
        known = np.asarray(state_registry[self.CATEGORICAL_MAPPING_KEY])
        if not extend_categories:
            check_categories(adata_target.obs, key, "batch_key", known)
        codes, categories, n_new = add_categories(adata_target.obs[key], known)
        adata_target.obs[self.attr_key] = codes
        return {
            **state_registry,
            self.CATEGORICAL_MAPPING_KEY: categories,
            N_ADDED_KEY: state_registry.get(N_ADDED_KEY, 0) + n_new,
        }


class CovariatesField(CategoricalJointObsField):
    """Several categorical covariates, each encoded as in :class:`BatchField`."""

    def register_field(self, adata: AnnData) -> dict:
        """Encode the categories."""
        found = {key: encode_categories(adata.obs[key]) for key in self.attr_keys}
        columns = {key: codes for key, (codes, _) in found.items()}
        adata.obsm[self.attr_key] = pd.DataFrame(columns, index=adata.obs_names)
        return {
            self.MAPPINGS_KEY: {key: categories for key, (_, categories) in found.items()},
            self.FIELD_KEYS_KEY: list(self.attr_keys),
            self.N_CATS_PER_KEY: [len(categories) for _, categories in found.values()],
        }

    def transfer_field(
        self,
        state_registry: dict,
        adata_target: AnnData,
        extend_categories: bool = False,
        **kwargs: Any,
    ) -> dict:
        """Encode the categories of another object.

        Raises
        ------
        ValueError
            If a category is new and ``extend_categories`` is False.
        """
        mappings: dict[str, np.ndarray] = {}
        n_added: dict[str, int] = {}
        before: Mapping[str, int] = state_registry.get(N_ADDED_KEY, {})
        columns = {}
        for key in state_registry[self.FIELD_KEYS_KEY]:
            known = np.asarray(state_registry[self.MAPPINGS_KEY][key])
            if not extend_categories:
                check_categories(adata_target.obs, key, "categorical_covariate_keys", known)
            columns[key], mappings[key], n_new = add_categories(adata_target.obs[key], known)
            n_added[key] = before.get(key, 0) + n_new
        adata_target.obsm[self.attr_key] = pd.DataFrame(columns, index=adata_target.obs_names)
        return {
            **state_registry,
            self.MAPPINGS_KEY: mappings,
            self.N_CATS_PER_KEY: [len(c) for c in mappings.values()],
            N_ADDED_KEY: n_added,
        }


MuDataLabelsField = MuDataWrapper(LabelsField)
MuDataBatchField = MuDataWrapper(BatchField)
MuDataCovariatesField = MuDataWrapper(CovariatesField)
