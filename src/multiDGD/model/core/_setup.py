"""Registration of AnnData and MuData."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from anndata import AnnData
from mudata import MuData
from scvi.data import AnnDataManagerValidationCheck
from scvi.utils import setup_anndata_dsp

from multiDGD._names import nearest
from multiDGD.data import CellManager, anndata_fields, modalities_and_layers, mudata_fields

from ._object_type import refuse_view
from ._representations import RepresentationMixin


class SetupMixin(RepresentationMixin):
    """Registration of modalities, labels and covariates; names of the features."""

    @classmethod
    @setup_anndata_dsp.dedent
    def setup_anndata(
        cls,
        adata: AnnData,
        layer: str | None = None,
        modality_key: str | None = None,
        labels_key: str | None = None,
        unlabeled_category: str = "unknown",
        batch_key: str | None = None,
        categorical_covariate_keys: list[str] | None = None,
        continuous_covariate_keys: list[str] | None = None,
        panel_key: str | None = None,
        **kwargs: Any,
    ) -> None:
        """%(summary)s.

        Parameters
        ----------
        %(param_adata)s
        %(param_layer)s
        modality_key
            Column of ``adata.var`` with the modality of each feature, such as ``feature_types`` in
            10x files, if the AnnData contains several modalities. Features can be in any order. If
            all counts of a modality in a cell are zero, the modality is treated as missing, unless
            it has only one feature.
        labels_key
            Column of ``adata.obs`` with labels, which supervise the mixture. Only some cells need
            a label.
        unlabeled_category
            Label that marks unlabelled cells, in addition to missing entries.
        batch_key
            Column of ``adata.obs`` with the batch, one of the categorical covariates.
        %(param_cat_cov_keys)s
        %(param_cont_cov_keys)s
        panel_key
            Column of ``adata.obs`` with the panel of each cell, often the batch, if panels contain
            different features (antibodies). A feature without any count in a panel, although the
            other panels predict at least 10, was not measured there. Such a zero is not modelled,
            and the count is predicted.
        **kwargs
            Arguments that scvi-tools passes to transfer the registry of a trained model.

        Raises
        ------
        ValueError
            If a column is missing, names are not unique, values are not counts, or a cell has no
            counts.

        Examples
        --------
        >>> MultiDGD.setup_anndata(  # doctest: +SKIP
        ...     adata, modality_key="feature_types", batch_key="donor"
        ... )
        """
        fields = anndata_fields(
            adata,
            layer=layer,
            modality_key=modality_key,
            labels_key=labels_key,
            unlabeled_category=unlabeled_category,
            batch_key=batch_key,
            categorical_covariate_keys=categorical_covariate_keys,
            continuous_covariate_keys=continuous_covariate_keys,
            panel_key=panel_key,
            is_query=kwargs.get("source_registry") is not None,
        )
        given = {k: v for k, v in locals().items() if k != "fields"}
        cls._register(adata, fields, given, kwargs)

    @classmethod
    @setup_anndata_dsp.dedent
    def setup_mudata(
        cls,
        mdata: MuData,
        modalities: Sequence[str] | Mapping[str, str] | None = None,
        layers: Mapping[str, str | None] | None = None,
        labels_key: str | None = None,
        unlabeled_category: str = "unknown",
        batch_key: str | None = None,
        categorical_covariate_keys: list[str] | None = None,
        continuous_covariate_keys: list[str] | None = None,
        panel_key: str | None = None,
        rna_layer: str | None = None,
        atac_layer: str | None = None,
        protein_layer: str | None = None,
        **kwargs: Any,
    ) -> None:
        """%(summary_mdata)s.

        Parameters
        ----------
        %(param_mdata)s
        modalities
            Names of the modalities to model, in any number and order; all by default. A cell may
            be missing in some of them. Or a dictionary as in scvi-tools, with
            ``"rna_layer"``, ``"atac_layer"`` or ``"protein_layer"`` as keys.
        layers
            Layer with raw counts of each modality, by its name; ``X`` by default.
        labels_key
            Column of ``mdata.obs`` with labels, which supervise the mixture. Only some cells need
            a label.
        unlabeled_category
            Label that marks unlabelled cells, in addition to missing entries.
        batch_key
            Column of ``mdata.obs`` with the batch, one of the categorical covariates.
        categorical_covariate_keys
            Columns of ``mdata.obs`` with further categorical covariates.
        continuous_covariate_keys
            Columns of ``mdata.obs`` with continuous covariates.
        panel_key
            Column of ``mdata.obs`` with the panel of each cell, often the batch, if panels contain
            different features (antibodies). A feature without any count in a panel, although the
            other panels predict at least 10, was not measured there. Such a zero is not modelled,
            and the count is predicted.
        rna_layer, atac_layer, protein_layer
            Layers in the form of scvi-tools, if ``modalities`` maps the name of the argument to a
            modality; ``X`` by default.
        **kwargs
            Arguments that scvi-tools passes to transfer the registry of a trained model.

        Raises
        ------
        ValueError
            If a modality or column is missing, names are not unique, values are not counts, or a
            cell has no counts.

        Examples
        --------
        >>> MultiDGD.setup_mudata(
        ...     mdata, layers={"rna": "counts"}, batch_key="donor"
        ... )  # doctest: +SKIP

        As in scvi-tools:

        >>> MultiDGD.setup_mudata(  # doctest: +SKIP
        ...     mdata,
        ...     modalities={"rna_layer": "rna", "protein_layer": "prot"},
        ...     rna_layer="counts",
        ... )
        """
        scvi_layers = {
            "rna_layer": rna_layer,
            "atac_layer": atac_layer,
            "protein_layer": protein_layer,
        }
        modalities, layers = modalities_and_layers(modalities, layers, scvi_layers)
        fields = mudata_fields(
            mdata,
            modalities=modalities,
            layers=layers,
            labels_key=labels_key,
            unlabeled_category=unlabeled_category,
            batch_key=batch_key,
            categorical_covariate_keys=categorical_covariate_keys,
            continuous_covariate_keys=continuous_covariate_keys,
            panel_key=panel_key,
            source_registry=kwargs.get("source_registry"),
        )
        # The registry contains one form of the arguments.
        other = {"other", "fields", "scvi_layers", *scvi_layers}
        given = {k: v for k, v in locals().items() if k not in other}
        cls._register(mdata, fields, given, kwargs)

    @classmethod
    def _register(
        cls, data: AnnData | MuData, fields: list, given: dict[str, Any], kwargs: dict[str, Any]
    ) -> None:
        refuse_view(data, cls)
        if kwargs and "source_registry" not in kwargs:
            unknown = next(iter(kwargs))
            near = nearest(unknown, [name for name in given if name not in ("cls", "kwargs")])
            raise TypeError(f"The setup has no argument `{unknown}`. Nearest: {near}.")
        manager = CellManager(
            fields=fields,
            setup_method_args=cls._get_setup_method_args(**given),
            # Modalities of a mosaic have different cells, which are matched by name.
            validation_checks=AnnDataManagerValidationCheck(check_fully_paired_mudata=False),
        )
        manager.register_fields(data, **kwargs)
        cls.register_manager(manager)

    def get_var_names(
        self, legacy_mudata_format: bool = False
    ) -> np.ndarray | dict[str, np.ndarray]:
        """Return the feature names: an array for AnnData, a dictionary of arrays for MuData.

        Parameters
        ----------
        legacy_mudata_format
            Whether to return one joined array for a MuData as well.
        """
        if self.adata is not None:
            return super().get_var_names(legacy_mudata_format=legacy_mudata_format)
        features = self.summary.features
        if self.registry_["setup_method_name"] == "setup_mudata" and not legacy_mudata_format:
            return features
        return np.concatenate(list(features.values()))
