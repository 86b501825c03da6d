"""Mapping of queries to a reference model, with the interface of scvi-tools."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from anndata import AnnData
from lightning.fabric.utilities import move_data_to_device
from mudata import MuData
from scvi import settings

from multiDGD._quiet import quiet_mudata
from multiDGD.data import check_features, check_names, is_on_disk, logger, matched_columns
from multiDGD.inference import learn_categories
from multiDGD.model.core._object_type import check_object_type
from multiDGD.model.core._random import subsample
from multiDGD.model.core._training import TrainingMixin
from multiDGD.model.core._training_cells import TrainingCells
from multiDGD.module import add_categories

# A category has few parameters; more cells hardly improve their estimates.
_MAX_CELLS_PER_CATEGORY = 300
_MAX_CELLS = 6000


class QueryMixin(TrainingMixin):
    """Models of query cells with the decoder of a reference."""

    init_params_: dict[str, Any]

    @classmethod
    def _reference(cls, reference_model: str | Path | Self | None, **device: Any) -> Self:
        """Check that a reference is trained; load it first if a folder is given."""
        if reference_model is None:
            raise ValueError(
                "`reference_model` is required: pass a model or the folder of a saved model."
            )
        if isinstance(reference_model, (str, Path)):
            reference_model = cls.load(str(reference_model), adata=False, **device)
        if not isinstance(reference_model, cls):
            raise ValueError(
                f"`reference_model` must be a {cls.__name__} or the folder of a saved model, "
                f"found {type(reference_model).__name__}."
            )
        if not reference_model.is_trained_:
            raise ValueError("`reference_model` is not trained: call its `train()` first.")
        return reference_model

    @classmethod
    def prepare_query_anndata(
        cls,
        adata: AnnData,
        reference_model: str | Path | Self,
        return_reference_var_names: bool = False,
        inplace: bool = True,
    ) -> AnnData | pd.Index | None:
        """Subset and sort the features of an AnnData as in a reference.

        Features that are not in the reference are removed, and the others are sorted as in the
        reference. Missing features are *not* filled with zeros, since they provide no information
        about a cell. :meth:`load_query_data` accepts unprepared objects, so this method is only
        necessary to save memory.

        Parameters
        ----------
        adata
            Query cells.
        reference_model
            Trained model, or the folder of a saved one.
        return_reference_var_names
            Only return the feature names of the reference.
        inplace
            Change ``adata``; if `False`, return a new object.

        Returns
        -------
        `None`; the new object if ``inplace`` is `False`; or the feature names.

        Raises
        ------
        ValueError
            If no feature matches. The message contains some names from both objects.

        Examples
        --------
        >>> MultiDGD.prepare_query_anndata(query, "reference/")  # doctest: +SKIP
        """
        reference = cls._reference(reference_model)
        features = reference.summary.features
        if return_reference_var_names:
            return pd.Index(np.concatenate(list(features.values())))
        if not isinstance(adata, AnnData):
            raise ValueError(
                f"`adata` must be an AnnData, found {type(adata).__name__}. Use "
                "`prepare_query_mudata` for MuData."
            )
        modality_key = reference.registry_["setup_args"].get("modality_key")
        check_features(adata, features, modality_key)
        return _with_features(adata, features, inplace, modality_key)

    @classmethod
    def prepare_query_mudata(
        cls,
        mdata: MuData,
        reference_model: str | Path | Self,
        return_reference_var_names: bool = False,
        inplace: bool = True,
    ) -> MuData | dict[str, pd.Index] | None:
        """Subset and sort the modalities and features of a MuData as in a reference.

        Features and modalities that are not in the reference are removed. The remaining features
        are sorted as in the reference. Missing features and modalities stay missing; they are
        *not* filled with zeros. :meth:`load_query_data` accepts unprepared objects, so this method
        is only necessary to save memory.

        Parameters
        ----------
        mdata
            Query cells.
        reference_model
            Trained model, or the folder of a saved one.
        return_reference_var_names
            Only return the feature names of the reference, by modality.
        inplace
            Change ``mdata``; if `False`, return a new object.

        Returns
        -------
        `None`; the new object if ``inplace`` is `False`; or the feature names by modality.

        Raises
        ------
        ValueError
            If no modality is in the reference, or a modality shares no feature with it. The
            message contains some names from both objects.

        Examples
        --------
        >>> MultiDGD.prepare_query_mudata(query, "reference/")  # doctest: +SKIP
        """
        features = cls._reference(reference_model).summary.features
        if return_reference_var_names:
            return {m: pd.Index(names) for m, names in features.items()}
        if not isinstance(mdata, MuData):
            raise ValueError(
                f"`mdata` must be a MuData, found {type(mdata).__name__}. Wrap one modality as "
                f"`MuData({{{next(iter(features))!r}: adata}})`."
            )
        check_features(mdata, features)
        with quiet_mudata():
            found = mdata if inplace else mdata.copy()
        for modality in list(found.mod):
            if modality in features:
                own = {modality: features[modality]}
                _with_features(found.mod[modality], own, inplace=True)
            else:
                del found.mod[modality]
        with quiet_mudata():
            found.update()
        return None if inplace else found

    @classmethod
    def load_query_data(
        cls,
        adata: AnnData | MuData,
        reference_model: str | Path | Self,
        inplace_subset_query_vars: bool = False,
        accelerator: str = "auto",
        device: int | str = "auto",
        unfrozen: bool = False,
        **freeze_options: bool,
    ) -> Self:
        """Create a model of query cells with the decoder and the mixtures of a reference.

        Cells are embedded by their measured features. Features and modalities may have any order
        and may be missing; those that are not in the reference are ignored. New categories of
        covariates get components of their own, which :meth:`train` learns. The reference stays
        unchanged. Labels are neither required nor used.

        Parameters
        ----------
        adata
            Query cells. Only the columns of the covariates are required; no setup is necessary.
        reference_model
            Trained model, or the folder of a saved one.
        inplace_subset_query_vars
            Remove features that are not in the reference from ``adata``.
        accelerator, device
            Device of the model, as for :meth:`load`.
        unfrozen
            Must be `False`; the reference stays frozen.
        **freeze_options
            Options of scvi-tools (``freeze_...``). They are accepted and have no effect.

        Returns
        -------
        Model of the cells in ``adata``. Call its :meth:`train` before any other method.

        Raises
        ------
        ValueError
            If the query does not fit the reference; the message contains the reason.

        Examples
        --------
        >>> query_model = MultiDGD.load_query_data(query, "reference/")  # doctest: +SKIP
        >>> query_model.train()  # doctest: +SKIP
        >>> query.obs["label"] = query_model.predict()  # doctest: +SKIP
        """
        unknown = [name for name in freeze_options if not name.startswith("freeze_")]
        if unknown:
            raise TypeError(f"load_query_data() got an unexpected keyword argument {unknown[0]!r}")
        if unfrozen:
            raise ValueError(
                "`unfrozen` must be False: the reference stays frozen. To update it, train a new "
                "model on all cells."
            )
        reference = cls._reference(reference_model, accelerator=accelerator, device=device)
        check_object_type(adata, reference.registry_)
        method = reference.registry_["setup_method_name"]
        if inplace_subset_query_vars and method == "setup_mudata":
            cls.prepare_query_mudata(adata, reference)
        elif inplace_subset_query_vars:
            cls.prepare_query_anndata(adata, reference)
        getattr(cls, method)(
            adata,
            source_registry=reference.registry_,
            extend_categories=True,
            **reference.registry_["setup_args"],
        )
        model = cls(adata, **reference.init_params_["non_kwargs"])
        model._initialise_from(reference)
        return model

    def _initialise_from(self, reference: Self) -> None:
        """Copy the module and the learned records of a reference, without its cells."""
        known, extended = reference.summary.covariates, self.summary.covariates
        added = {name: list(extended[name][len(known[name]) :]) for name in known}
        module = copy.deepcopy(reference.module)
        add_categories(module, {name: len(new) for name, new in added.items()})
        module.resize(self.adata.n_obs)
        module.eval()
        self.module = module.requires_grad_(False)
        # The records are immutable, so both models can share them.
        self._learned = replace(reference._learned, cells=TrainingCells())
        self.is_initialised_ = True
        self.new_categories_ = {name: new for name, new in added.items() if new}
        for name in self.new_categories_:
            if name not in module.covariates:
                logger.warning(
                    "Covariate %r had one category in the reference, so differences between "
                    "categories were not learned. The model cannot correct for the new ones: %s.",
                    name,
                    self.new_categories_[name],
                )

    def _train_query(self, max_epochs: int | None, batch_size: int) -> None:
        """Learn the new categories, then infer the representations of all cells."""
        manager = self.adata_manager
        covariates = manager.create_torch_dataset().covariates
        known = self.summary.covariates
        names = list(known)
        new = {
            name: list(range(len(known[name]) - len(added), len(known[name])))
            for name, added in (self.new_categories_ or {}).items()
            if name in self.module.covariates
        }
        if not any(new.values()):
            logger.info("The query has no new categories: only its representations are inferred")
        chosen = _subsample_categories(
            covariates, {names.index(n): codes for n, codes in new.items()}
        )
        batches, modules = [], []
        for subset, at in self._panels(manager).groups(chosen):
            for batch in manager.batches(chosen[at], batch_size):
                batches.append(move_data_to_device(subset.batch(batch), self.module.device))
                modules.append(subset.module)
        losses = learn_categories(self.module, batches, new, modules=modules, n_epochs=max_epochs)
        self._inferred_cache.clear()
        n_obs = manager.adata.n_obs
        self._store_inferred(np.arange(n_obs))
        self._identify_cells()
        self.train_indices_ = np.arange(n_obs)
        self.validation_indices_ = self.test_indices_ = np.arange(0)
        per_cell = pd.DataFrame({"train_loss": np.array(losses) / max(len(chosen), 1)})
        self.history_ = {"train_loss": per_cell.rename_axis("epoch")}
        self.is_trained_ = True


def _with_features(
    adata: AnnData,
    features: Mapping[str, np.ndarray],
    inplace: bool,
    modality_key: str | None = None,
) -> AnnData | None:
    """Subset an object to the given features that exist in it, in their order."""
    if is_on_disk(adata.X):
        raise ValueError(
            "`adata` is on disk, and removing features would load all counts. Pass it to "
            "`load_query_data` as it is, without `inplace_subset_query_vars`."
        )
    check_names(adata.var_names, "Feature names (`var_names`)")
    kept = matched_columns(adata, features, modality_key)
    if not inplace:
        return adata[:, kept].copy()
    adata._inplace_subset_var(kept)
    return None


def _subsample_categories(covariates: np.ndarray, new: dict[int, list[int]]) -> np.ndarray:
    """Draw a limited number of cells from every new category, in ascending order."""
    generator = np.random.default_rng(settings.seed or 0)
    chosen = [np.arange(0)]
    share = max(30, _MAX_CELLS // max(1, sum(map(len, new.values()))))
    for column, codes in new.items():
        for code in codes:
            cells = np.flatnonzero(covariates[:, column] == code)
            n_cells = min(share, _MAX_CELLS_PER_CATEGORY)
            chosen.append(subsample(cells, n_cells, generator))
    return np.unique(np.concatenate(chosen))
