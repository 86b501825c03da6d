"""Categorical covariates of cells that the model was not trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scvi.data.fields import CategoricalJointObsField, CategoricalObsField, MuDataWrapper

from ._checks import listed

N_ADDED_KEY = "n_added"


def find_categories(values: pd.Series, categories: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Code of each value and the values that are no category yet.

    A value that is written otherwise (``"1"`` for 1) is the same category if only one is meant.

    Parameters
    ----------
    values
        Shape ``(n,)``.
    categories
        Known categories.

    Returns
    -------
    Codes, -1 where unknown, shape ``(n,)``, and the unknown values, sorted.
    """
    column = values.astype(object)
    codes = pd.Index(categories, dtype=object).get_indexer(column)
    written = pd.Index([str(c) for c in categories])
    if (codes < 0).any() and written.is_unique:
        at = codes < 0
        codes[at] = written.get_indexer([str(v) for v in column[at]])
    unknown = pd.unique(column[codes < 0])
    return codes, np.array(sorted(unknown, key=str), dtype=object)


def present_categories(values: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Codes and categories of values, without categories that a subset left behind empty.

    Parameters
    ----------
    values
        Shape ``(n,)``.
    """
    column = values.astype("category").cat.remove_unused_categories()
    return column.cat.codes.to_numpy(np.int64), column.cat.categories.to_numpy(copy=True)


def check_categories(obs: pd.DataFrame, key: str, argument: str, categories: np.ndarray) -> None:
    """Raise if a column holds a category that the model does not know.

    Raises
    ------
    ValueError
        Naming it and what learns it.
    """
    _, unknown = find_categories(obs[key], categories)
    if len(unknown):
        raise ValueError(
            f"`{argument}`: {listed(unknown)} of `obs[{key!r}]` is not among the categories of "
            f"the model: {listed(categories, 5)}. `MultiDGD.load_query_data(adata, model)` learns "
            "new ones."
        )


def _extended(
    values: pd.Series, categories: np.ndarray, n_added: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Codes among the categories and those to be added, all categories, how many are added."""
    _, unknown = find_categories(values, categories)
    if len(unknown):
        categories = np.concatenate([np.asarray(categories, dtype=object), unknown])
    codes, _ = find_categories(values, categories)
    return codes, categories, n_added + len(unknown)


class BatchField(CategoricalObsField):
    """A covariate whose new categories are added behind those that a model knows.

    How many were added is noted, since a model keeps what it learned for the others. Only
    categories with cells count, so that no component is there that nothing was learned for.

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
        codes, categories = present_categories(adata.obs[key])
        adata.obs[self.attr_key] = codes
        return {self.CATEGORICAL_MAPPING_KEY: categories, self.ORIGINAL_ATTR_KEY: key}

    def transfer_field(
        self,
        state_registry: dict,
        adata_target: AnnData,
        extend_categories: bool = False,
        **kwargs: Any,
    ) -> dict:
        """Encode another object's categories.

        Raises
        ------
        ValueError
            If one is new and ``extend_categories`` is not set.
        """
        key = state_registry[self.ORIGINAL_ATTR_KEY]
        known = np.asarray(state_registry[self.CATEGORICAL_MAPPING_KEY])
        if not extend_categories:
            check_categories(adata_target.obs, key, "batch_key", known)
        codes, categories, n_added = _extended(
            adata_target.obs[key], known, state_registry.get(N_ADDED_KEY, 0)
        )
        adata_target.obs[self.attr_key] = codes
        return {
            **state_registry,
            self.CATEGORICAL_MAPPING_KEY: categories,
            N_ADDED_KEY: n_added,
        }


class CovariatesField(CategoricalJointObsField):
    """Several covariates, as :class:`BatchField` has one."""

    def register_field(self, adata: AnnData) -> dict:
        """Encode the categories."""
        found = {key: present_categories(adata.obs[key]) for key in self.attr_keys}
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
        """Encode another object's categories.

        Raises
        ------
        ValueError
            If one is new and ``extend_categories`` is not set.
        """
        mappings: dict[str, np.ndarray] = {}
        n_added: dict[str, int] = {}
        before: Mapping[str, int] = state_registry.get(N_ADDED_KEY, {})
        columns = {}
        for key in state_registry[self.FIELD_KEYS_KEY]:
            known = np.asarray(state_registry[self.MAPPINGS_KEY][key])
            if not extend_categories:
                check_categories(adata_target.obs, key, "categorical_covariate_keys", known)
            columns[key], mappings[key], n_added[key] = _extended(
                adata_target.obs[key], known, before.get(key, 0)
            )
        adata_target.obsm[self.attr_key] = pd.DataFrame(columns, index=adata_target.obs_names)
        return {
            **state_registry,
            self.MAPPINGS_KEY: mappings,
            self.N_CATS_PER_KEY: [len(c) for c in mappings.values()],
            N_ADDED_KEY: n_added,
        }


MuDataBatchField = MuDataWrapper(BatchField)
MuDataCovariatesField = MuDataWrapper(CovariatesField)
