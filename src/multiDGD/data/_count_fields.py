"""scvi-tools fields for what its own ones do not cover."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scvi.data.fields import CategoricalObsField, CategoricalVarField, LayerField, MuDataWrapper

from ._checks import check_counts, check_names
from ._log import logger


class CountsField(LayerField):
    """Counts of one matrix, recognised by their features' names.

    Another object may hold some of the features only, in another order and beside others.

    Parameters
    ----------
    registry_key
        Key in the data registry.
    layer
        Key of ``layers``; ``X`` if `None`.
    """

    def __init__(self, registry_key: str, layer: str | None) -> None:
        # The reader takes any format and all values are checked here, not a sample of them.
        super().__init__(registry_key, layer, is_count_data=False, correct_data_format=False)

    @property
    def _where(self) -> str:
        return "`X`" if self.attr_key is None else f"`layers[{self.attr_key!r}]`"

    def validate_field(self, adata: AnnData) -> None:
        """Check layer, names and values.

        Raises
        ------
        ValueError
            If they cannot be modelled.
        """
        if self.attr_key is not None and self.attr_key not in adata.layers:
            raise ValueError(
                f"`layer`: {self.attr_key!r} is not a layer. There are: {[k for k in adata.layers if k]}."
            )
        if self.attr_key is None and adata.X is None:
            raise ValueError(
                "`X` is not there. Name the layer that holds the counts as `layer` (`layers` for "
                f"MuData). There are: {[k for k in adata.layers if k]}."
            )
        check_names(adata.obs_names, "Cell names (`obs_names`)")
        check_names(adata.var_names, "Feature names (`var_names`)")
        super().validate_field(adata)
        check_counts(self.get_field_data(adata), self._where)

    def transfer_field(
        self, state_registry: dict, adata_target: AnnData, **kwargs: object
    ) -> dict:
        """Register another object; the features remain the model's."""
        # Cells of a mosaic may leave a modality empty: it was not measured in them.
        if adata_target.n_obs:
            self.validate_field(adata_target)
        return {**state_registry, self.N_OBS_KEY: adata_target.n_obs}


class ModalityField(CategoricalVarField):
    """The modality of each feature of one AnnData, as 10x writes in ``feature_types``.

    Parameters
    ----------
    registry_key
        Key in the data registry.
    attr_key
        Column of ``var``.
    """

    CODES_KEY = "codes"

    def register_field(self, adata: AnnData) -> dict:
        """Note every feature's modality beside the names of the modalities."""
        state = super().register_field(adata)
        return {**state, self.CODES_KEY: adata.var[self.attr_key].to_numpy(copy=True)}

    def transfer_field(
        self, state_registry: dict, adata_target: AnnData, **kwargs: object
    ) -> dict:
        """Keep what is known: features are recognised by name."""
        return state_registry


class LabelsField(CategoricalObsField):
    """Labels, some of which may be unknown.

    Codes count the known categories from 0; -1 marks cells that are missing a label, have the
    unlabelled category, or a label that the model has never seen.

    Parameters
    ----------
    registry_key
        Key in the data registry.
    attr_key
        Column of ``obs``.
    unlabeled_category
        Value that says unknown.
    """

    def __init__(self, registry_key: str, attr_key: str, unlabeled_category: str) -> None:
        super().__init__(registry_key, attr_key)
        self._labels_key = attr_key
        self._unlabeled_category = unlabeled_category

    def _encode(self, adata: AnnData, categories: np.ndarray) -> None:
        column = adata.obs[self._labels_key].astype(object)
        adata.obs[self.attr_key] = pd.Index(categories, dtype=object).get_indexer(column)

    def register_field(self, adata: AnnData) -> dict:
        """Encode the labels.

        Raises
        ------
        ValueError
            If no cell has a label.
        """
        column = adata.obs[self._labels_key].astype(object)
        known = column[column.notna() & (column != self._unlabeled_category)]
        categories = known.astype("category").cat.categories.to_numpy(copy=True)
        if not len(categories):
            raise ValueError(
                f"`labels_key`: no cell has a label in {self._labels_key!r}; all are "
                f"missing or {self._unlabeled_category!r}. Leave `labels_key` out."
            )
        self._encode(adata, categories)
        return {
            self.CATEGORICAL_MAPPING_KEY: categories,
            self.ORIGINAL_ATTR_KEY: self._labels_key,
        }

    def transfer_field(
        self, state_registry: dict, adata_target: AnnData, **kwargs: object
    ) -> dict:
        """Encode another object's labels; without any, all its cells are unlabelled."""
        if self._labels_key in adata_target.obs:
            self._encode(adata_target, state_registry[self.CATEGORICAL_MAPPING_KEY])
        else:
            logger.info("No labels in %r: all cells are unlabelled.", self._labels_key)
            adata_target.obs[self.attr_key] = np.full(adata_target.n_obs, -1)
        return state_registry


_Wrapped: Any = MuDataWrapper(CountsField)


class MuDataCountsField(_Wrapped):
    """Counts of one modality, which other objects need not have."""

    def transfer_field(self, state_registry: dict, mdata_target: MuData, **kwargs: object) -> dict:
        """Register the modality of another object if it is there."""
        if self.mod_key not in mdata_target.mod:
            return {**state_registry, CountsField.N_OBS_KEY: 0}
        return super().transfer_field(state_registry, mdata_target, **kwargs)


MuDataLabelsField = MuDataWrapper(LabelsField)
