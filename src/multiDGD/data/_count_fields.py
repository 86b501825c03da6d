"""scvi-tools fields of count matrices and of the modality of each feature."""

from __future__ import annotations

from typing import Any

from anndata import AnnData
from mudata import MuData
from scvi.data.fields import CategoricalVarField, LayerField, MuDataWrapper

from ._categories import encode_categories
from ._checks import check_counts, check_names


class CountsField(LayerField):
    """Counts of one matrix, with features identified by name.

    Another object may contain a subset of the features, in any order, and additional ones.

    Parameters
    ----------
    registry_key
        Key in the data registry.
    layer
        Key of ``layers``; ``X`` if ``None``.
    modality
        Name of the modality, for messages.
    """

    def __init__(self, registry_key: str, layer: str | None, modality: str | None = None) -> None:
        # `MatrixReader` accepts any format, and `check_counts` tests all values, not a sample.
        super().__init__(registry_key, layer, is_count_data=False, correct_data_format=False)
        self._prefix = "" if modality is None else f"Modality {modality!r}: "

    @property
    def where(self) -> str:
        """Place of the counts, for messages."""
        layer = "`X`" if self.attr_key is None else f"`layers[{self.attr_key!r}]`"
        return self._prefix + layer

    def validate_field(self, adata: AnnData) -> None:
        """Check the layer, the names of cells and features, and the counts.

        Raises
        ------
        ValueError
            If the layer is missing, a name is repeated, or the values are not counts.
        """
        if self.attr_key is not None and self.attr_key not in adata.layers:
            raise ValueError(
                f"{self._prefix}`layer`: {self.attr_key!r} is not a layer. Available layers: "
                f"{[k for k in adata.layers if k] or 'none'}."
            )
        if self.attr_key is None and adata.X is None:
            raise ValueError(
                f"{self._prefix}`X` is missing. Pass the layer of raw counts as `layer` (`layers` for MuData). "
                f"Available layers: {[k for k in adata.layers if k] or 'none'}."
            )
        check_names(adata.obs_names, f"{self._prefix}Cell names (`obs_names`)")
        check_names(adata.var_names, f"{self._prefix}Feature names (`var_names`)")
        super().validate_field(adata)
        check_counts(self.get_field_data(adata), self.where)

    def transfer_field(
        self, state_registry: dict, adata_target: AnnData, **kwargs: object
    ) -> dict:
        """Register another object, and keep the feature names of the model."""
        # In a mosaic, none of the cells of an object may have been measured in this modality.
        if adata_target.n_obs:
            self.validate_field(adata_target)
        return {**state_registry, self.N_OBS_KEY: adata_target.n_obs}


class ModalityField(CategoricalVarField):
    """The modality of each feature of one AnnData, such as ``feature_types`` in 10x files.

    Parameters
    ----------
    registry_key
        Key in the data registry.
    attr_key
        Column of ``var``.
    """

    CODES_KEY = "codes"

    def __init__(self, registry_key: str, attr_key: str) -> None:
        super().__init__(registry_key, attr_key)
        self._key = attr_key

    def register_field(self, adata: AnnData) -> dict:
        """Store the modality of each feature and the names of the modalities."""
        key = self._key
        # scvi-tools would warn of a modality with one or two features.
        codes, names = encode_categories(adata.var[key])
        adata.var[self.attr_key] = codes
        return {
            self.CATEGORICAL_MAPPING_KEY: names,
            self.ORIGINAL_ATTR_KEY: key,
            self.CODES_KEY: codes,
        }

    def transfer_field(
        self, state_registry: dict, adata_target: AnnData, **kwargs: object
    ) -> dict:
        """Return the state unchanged, because features are identified by name."""
        return state_registry


_Wrapped: Any = MuDataWrapper(CountsField)


class MuDataCountsField(_Wrapped):
    """Counts of one modality, which may be missing from other objects."""

    def transfer_field(self, state_registry: dict, mdata_target: MuData, **kwargs: object) -> dict:
        """Register the modality of another object, with 0 cells if it is missing."""
        if self.mod_key not in mdata_target.mod:
            return {**state_registry, CountsField.N_OBS_KEY: 0}
        return super().transfer_field(state_registry, mdata_target, **kwargs)
