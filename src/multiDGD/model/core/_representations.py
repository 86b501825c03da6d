"""Representations of training cells and of all other cells."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from math import ceil
from typing import Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from lightning.fabric.utilities import move_data_to_device
from mudata import MuData
from scvi import settings
from scvi.model.base import BaseModelClass
from torch import Tensor

from multiDGD._checks import positive_int
from multiDGD._quiet import quiet_transfer
from multiDGD.data import CellManager, DataSummary, listed, summarize_registry
from multiDGD.inference import infer_representations
from multiDGD.module import FeaturePanels, MultiDGDModule

from ._learned import SavedAttributes
from ._object_type import check_object_type
from ._progress import progress
from ._representation_cache import RepresentationCache
from ._training_cells import TrainingCells

# scvi-tools registers objects in dictionaries of the class.
_REGISTRATION = threading.RLock()


class RepresentationMixin(SavedAttributes, BaseModelClass):
    """Trained representations of training cells; inferred representations of all others."""

    module: MultiDGDModule
    #: Categories of each covariate that the query adds; `None` in models other than query models.
    new_categories_: dict[str, list[str]] | None = None
    _inferred_cache: RepresentationCache

    @property
    def summary(self) -> DataSummary:
        """Names of the modalities, features, labels and covariates."""
        return summarize_registry(self.registry_)

    @property
    def batch_key(self) -> str | None:
        """Column that was registered as ``batch_key``."""
        return self.registry_["setup_args"].get("batch_key")

    def _manager_of(self, adata: AnnData | MuData | None) -> CellManager:
        """Manager of the given object, registered if necessary; of the model's data if `None`."""
        if not self.is_trained_:
            raise RuntimeError("The model is not trained: call `train()` first.")
        if adata is None and self.adata is None:
            raise ValueError(
                "`adata` is required: the model was loaded without data. Only representations, "
                "clusters and components of the training cells are available without `adata`."
            )
        if adata is not None:
            self._check_type(adata)
        if adata is not None and adata.is_view and adata.isbacked:
            # `copy` of a view of a file would require a new file.
            if isinstance(adata, MuData):
                raise ValueError(
                    "`adata` is a view of a MuData on disk. Pass the whole object, and select the "
                    "cells by `indices`."
                )
            adata = adata.to_memory()
        with _REGISTRATION:
            if self.adata_manager is None:
                return self._register_first(adata)
            # scvi-tools finds managers by identifiers, which are the same in a copy of the model.
            if adata is None or adata is self.adata:
                self.adata_manager.validate()
                self._check_training_cells()
                return self.adata_manager
            with quiet_transfer():
                adata = self._validate_anndata(adata)
            return self.get_anndata_manager(adata, required=True)

    def _check_type(self, adata: object) -> None:
        """Raise if an argument for cells is something else, such as a name."""
        if isinstance(adata, AnnData | MuData):
            check_object_type(adata, self.registry_)
            return
        is_text = isinstance(adata, str)
        near = (
            get_close_matches(str(adata), list(self.summary.features), 1)
            if is_text
            else ["range(10)"]
        )
        argument = "modality={!r}" if is_text else "indices={}"
        example = f", for example `{argument.format(near[0])}`" if near else ""
        raise ValueError(
            f"`adata` must be an AnnData or MuData, found "
            f"{repr(adata) if is_text else type(adata).__name__}. Pass other arguments by name"
            f"{example}."
        )

    def _check_training_cells(self) -> None:
        """Raise if the counts of training cells were changed in the model's data."""
        names, fingerprints, change = self.adata_manager.changes()
        if len(names) and self._learned.cells.contains(names, fingerprints):
            argument = "layers" if isinstance(self.adata, MuData) else "layer"
            raise ValueError(
                f"{change} after the model was trained on them (cells {listed(names)}). Restore "
                "them, or pass the changed cells as new ones, `adata=adata.copy()`. If later steps "
                f"change the counts, keep them in a layer and pass `{argument}` to the setup, for "
                "example `layer='counts'`."
            )

    def _register_first(self, adata: AnnData | MuData) -> CellManager:
        """Register the first object passed to a model that was loaded without data.

        Later versions of scvi-tools do this themselves; 1.4.0 does not.
        """
        if adata.is_view:
            adata = adata.copy()
        setup = getattr(type(self), self.registry_["setup_method_name"])
        setup(adata, source_registry=self.registry_, **self.registry_["setup_args"])
        # `_adata` stays unset: without `adata`, results are still those of the training cells.
        self._adata_manager = self._get_most_recent_anndata_manager(adata, required=True)
        self._register_manager_for_instance(self._adata_manager)
        return self._adata_manager

    def _identify_cells(self) -> None:
        """Record the cells of the model's data as those of the table of representations."""
        self.adata_manager.accept()
        self._update_learned(cells=TrainingCells.of(self.adata_manager))

    # Inference requires gradients, which the caller may have disabled.
    @torch.inference_mode(False)
    @torch.enable_grad()
    def _representation(
        self,
        manager: CellManager,
        indices: Sequence[int] | np.ndarray | None,
        batch_size: int | None,
        silent: bool = True,
    ) -> tuple[np.ndarray, Tensor]:
        """Positions of cells and their representations, on the CPU."""
        batch_size = cells_per_batch(batch_size)
        n_obs = manager.adata.n_obs
        cells = as_positions(indices, n_obs)
        if manager.check_cells(cells) and self.adata is manager.adata:
            self._check_training_cells()
        rows = self._learned.cells.find(manager, cells)
        table = self.module.representations.z.detach().cpu()
        w = table[torch.from_numpy(rows).clamp(min=0)].clone()

        new = np.flatnonzero(rows < 0)
        if len(new):
            w[new] = self._inferred_cache.get(
                manager,
                self.module,
                cells[new],
                lambda c: self._infer(manager, c, batch_size, None, silent),
            )
        return cells, w

    def _infer(
        self,
        manager: CellManager,
        cells: np.ndarray,
        batch_size: int | None = None,
        without: str | None = None,
        silent: bool = True,
        **options: Any,
    ) -> Tensor:
        """Infer the representations of cells from their measured features, on the CPU.

        The modality ``without``, if given, is ignored.
        """
        batch_size = cells_per_batch(batch_size)
        w = torch.empty(len(cells), self.module.n_representation, dtype=torch.float32)
        for subset, at in self._panels(manager, without).groups(cells):
            batches = map(subset.batch, manager.batches(cells[at], batch_size))
            shown = progress(batches, "Embedding", ceil(len(at) / batch_size), silent)
            w[torch.from_numpy(at)] = infer_representations(subset.module, shown, **options)
        return w

    def _panels(self, manager: CellManager, without: str | None = None) -> FeaturePanels:
        """Subsets of the module to the features that groups of cells measured."""
        observed, codes = manager.panels
        if without is not None:
            observed = [{m: at for m, at in o.items() if m != without} for o in observed]
        return FeaturePanels(self.module, observed, codes)

    def _store_inferred(self, cells: np.ndarray, **options: Any) -> None:
        """Infer the representations of cells of the table, and replace the stored ones."""
        if len(cells):
            w = self._infer(self.adata_manager, cells, **options)
            table = self.module.representations.z
            with torch.no_grad():
                table[torch.from_numpy(cells).to(table.device)] = w.to(table.device)

    def _represented_batches(
        self,
        manager: CellManager,
        indices: Sequence[int] | np.ndarray | None,
        batch_size: int | None,
        silent: bool = True,
    ) -> Iterator[tuple[dict[str, Any], Tensor]]:
        """Minibatches of cells with their representations, on the module's device.

        Two progress bars, unless ``silent``, show the inference and the use of the minibatches.
        """
        cells, w = self._representation(manager, indices, batch_size, silent)
        return self._batches_with(manager, cells, w, batch_size, silent)

    @torch.no_grad()
    def _complete_libraries(
        self,
        manager: CellManager,
        indices: Sequence[int] | np.ndarray | None,
        batch_size: int | None,
    ) -> np.ndarray:
        """Library sizes of cells, extrapolated from the observed features to all features."""
        module = self.module
        library_nm = manager.libraries[as_positions(indices, manager.adata.n_obs)].copy()
        panels = self._panels(manager)
        if panels.are_complete:
            return library_nm
        first = 0
        for batch, w in self._represented_batches(manager, indices, batch_size):
            for here, subset, part, (w_part,) in panels.parts(batch, w):
                rows = first + here.cpu().numpy()
                logits = module.generative(w_part, part["continuous"], subset.incomplete)["logits"]
                for modality, logits_nf in logits.items():
                    share_nf = module.likelihood(modality).shares(logits_nf)
                    share_n = share_nf[:, subset.positions[modality]].sum(1)
                    column = module.modalities.index(modality)
                    library_nm[rows, column] /= share_n.cpu().numpy()
            first += len(w)
        return library_nm

    def _batches_with(
        self,
        manager: CellManager,
        cells: np.ndarray,
        w: Tensor,
        batch_size: int | None,
        silent: bool = True,
    ) -> Iterator[tuple[dict[str, Any], Tensor]]:
        """Minibatches of cells with the matching rows of ``w``, on the module's device."""
        batch_size = cells_per_batch(batch_size)
        device = self.module.device
        rows = w.split(batch_size) if len(cells) else ()
        batches = zip(manager.batches(cells, batch_size), rows, strict=True)
        for batch, part in progress(batches, "Evaluating", ceil(len(cells) / batch_size), silent):
            yield move_data_to_device(batch, device), part.to(device)


def cells_per_batch(batch_size: int | None) -> int:
    """Check the given number of cells per minibatch, or return scvi-tools' setting."""
    return settings.batch_size if batch_size is None else positive_int("batch_size", batch_size)


def as_positions(
    indices: Sequence[int] | Sequence[bool] | np.ndarray | None, n_obs: int
) -> np.ndarray:
    """Positions of the cells in an ``indices`` argument, shape ``(n,)``.

    Parameters
    ----------
    indices
        Positions (negative ones count from the end) or a mask; all cells if `None`.
    n_obs
        Number of cells in the object.

    Raises
    ------
    ValueError
        If ``indices`` is neither a list of valid positions nor a mask of all cells.
    """
    if indices is None:
        return np.arange(n_obs)
    dtype = getattr(getattr(indices, "dtype", None), "numpy_dtype", None)
    if dtype is not None and not pd.isna(indices).any():  # nullable arrays of pandas
        indices = np.asarray(indices, dtype=dtype)
    try:
        given = np.asarray(indices)
    except ValueError:  # lists of several lengths
        given = np.asarray(indices, dtype=object)
    if given.dtype == bool and given.ndim == 1:
        if len(given) != n_obs:
            raise ValueError(
                f"`indices` must have one entry for each of the {n_obs} cells if it is a mask, "
                f"found {len(given)}."
            )
        return np.flatnonzero(given)
    if given.ndim != 1 or (given.size and not np.issubdtype(given.dtype, np.integer)):
        raise ValueError(
            "`indices` must be a list of integers or a mask, found "
            f"{type(indices).__name__} of {given.dtype}."
        )
    beyond = given[(given < -n_obs) | (given >= n_obs)]
    if beyond.size:
        raise ValueError(f"`indices` must lie between 0 and {n_obs - 1}, found {beyond[0]}.")
    return given.astype(np.int64) % max(n_obs, 1)
