"""Which cells the model knows, and representations of any cells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from anndata import AnnData
from lightning.fabric.utilities import move_data_to_device
from mudata import MuData
from scvi import settings
from scvi.model.base import BaseModelClass
from torch import Tensor

from multiDGD._checks import positive_int
from multiDGD.data import CellManager, DataSummary, summarize_registry
from multiDGD.inference import infer_representations
from multiDGD.module import FeatureSubset, MultiDGDModule

from ._learned import SavedAttributes
from ._training_cells import TrainingCells


class RepresentationMixin(SavedAttributes, BaseModelClass):
    """Representations of training cells from the table, of all others by inference."""

    module: MultiDGDModule
    #: Categories of each covariate that are in a query only; `None` in models that are no query.
    new_categories_: dict[str, list[str]] | None = None
    _inferred_cache: WeakKeyDictionary[CellManager, tuple[np.ndarray, Tensor]]

    @property
    def summary(self) -> DataSummary:
        """Names of the modalities, features, labels and covariates."""
        return summarize_registry(self.registry_)

    @property
    def batch_key(self) -> str | None:
        """Column that was registered as ``batch_key``."""
        return self.registry_["setup_args"].get("batch_key")

    def _manager_of(self, adata: AnnData | MuData | None) -> CellManager:
        if not self.is_trained_:
            raise RuntimeError("The model is not trained: call `train()` first.")
        if adata is None and self.adata is None:
            raise ValueError(
                "`adata` is needed: the model was loaded without data. "
                "Representations, clusters and components of the training cells need none: leave "
                "out all arguments of these methods."
            )
        if self.adata_manager is None:
            return self._adopt(adata)
        adata = self._validate_anndata(adata)
        return self.get_anndata_manager(adata, required=True)

    def _adopt(self, adata: AnnData | MuData) -> CellManager:
        """Register the first object that a model without data is asked about.

        Newer scvi-tools do so themselves, 1.4.0 does not.
        """
        if adata.is_view:
            adata = adata.copy()
        setup = getattr(type(self), self.registry_["setup_method_name"])
        setup(adata, source_registry=self.registry_, **self.registry_["setup_args"])
        # Not its data: the model still answers for the cells that it was trained on.
        self._adata_manager = self._get_most_recent_anndata_manager(adata, required=True)
        self._register_manager_for_instance(self._adata_manager)
        return self._adata_manager

    def _identify_cells(self) -> None:
        """Record which cells the table of representations holds: those of the model's data."""
        self._update_learned(cells=TrainingCells.of(self.adata_manager))

    # Whoever asks may have turned gradients off, without which nothing can be found.
    @torch.inference_mode(False)
    @torch.enable_grad()
    def _representation(
        self,
        manager: CellManager,
        indices: Sequence[int] | np.ndarray | None,
        batch_size: int | None,
    ) -> tuple[np.ndarray, Tensor]:
        """Positions of the asked cells and their rows, on the CPU."""
        n_obs = manager.adata.n_obs
        cells = as_positions(indices, n_obs)
        rows = self._learned.cells.find(manager, cells)
        table = self.module.representations.z.detach().cpu()
        found = table[torch.from_numpy(rows).clamp(min=0)].clone()

        new = np.flatnonzero(rows < 0)
        if len(new):
            known = self._cached(manager)
            missing = cells[new][known[cells[new], 0].isnan().numpy()]
            if len(missing):
                known[missing] = self._infer(manager, missing, batch_size)
            found[new] = known[cells[new]]
        return cells, found

    def _cached(self, manager: CellManager) -> Tensor:
        """Rows that were found before, NaN where there are none, shape ``(n_obs, d)``."""
        cells = manager.fingerprints
        of, known = self._inferred_cache.get(manager, (None, None))
        # The user may have filtered the object in place since.
        if known is None or of is not cells:
            known = torch.full((len(cells), self.module.n_representation), torch.nan)
            self._inferred_cache[manager] = cells, known
        return known

    def _infer(
        self,
        manager: CellManager,
        cells: np.ndarray,
        batch_size: int | None = None,
        observed: Mapping[str, np.ndarray] | None = None,
        **how: Any,
    ) -> Tensor:
        """Rows of some cells by what was measured in them, or a part of it, on the CPU."""
        seen = FeatureSubset(self.module, manager.observed if observed is None else observed)
        batches = manager.batches(cells, _size(batch_size))
        return infer_representations(seen.module, map(seen.batch, batches), **how)

    def _store_inferred(self, cells: np.ndarray, **how: Any) -> None:
        """Give cells of the table the representation that any new cell gets."""
        if len(cells):
            found = self._infer(self.adata_manager, cells, **how)
            table = self.module.representations.z
            with torch.no_grad():
                table[torch.from_numpy(cells).to(table.device)] = found.to(table.device)

    def _represented_batches(
        self,
        manager: CellManager,
        indices: Sequence[int] | np.ndarray | None,
        batch_size: int | None,
    ) -> Iterator[tuple[dict[str, Any], Tensor]]:
        """Minibatches of the asked cells, each with its rows, on the module's device."""
        cells, representation = self._representation(manager, indices, batch_size)
        return self._batches_with(manager, cells, representation, batch_size)

    @torch.no_grad()
    def _complete_libraries(
        self,
        manager: CellManager,
        indices: Sequence[int] | np.ndarray | None,
        batch_size: int | None,
    ) -> np.ndarray:
        """Libraries of the asked cells, as if all features had been measured in them."""
        module = self.module
        library_nm = manager.libraries[as_positions(indices, manager.adata.n_obs)].copy()
        n_features = self.summary.n_features
        incomplete = {m: at for m, at in manager.observed.items() if len(at) < n_features[m]}
        if not incomplete:
            return library_nm
        first = 0
        for batch, w in self._represented_batches(manager, indices, batch_size):
            here = slice(first, first + len(w))
            first = here.stop
            logits = module.generative(w, batch["continuous"], list(incomplete))["logits"]
            for modality, at in incomplete.items():
                seen_n = logits[modality].softmax(-1)[:, at].sum(1)
                library_nm[here, module.modalities.index(modality)] /= seen_n.cpu().numpy()
        return library_nm

    def _batches_with(
        self, manager: CellManager, cells: np.ndarray, w: Tensor, batch_size: int | None
    ) -> Iterator[tuple[dict[str, Any], Tensor]]:
        """Minibatches of cells, each with its part of ``w``, on the module's device."""
        batch_size = _size(batch_size)
        device = self.module.device
        rows = w.split(batch_size) if len(cells) else ()
        for batch, part in zip(manager.batches(cells, batch_size), rows, strict=True):
            yield move_data_to_device(batch, device), part.to(device)


def _size(batch_size: int | None) -> int:
    """Number of cells to handle at a time."""
    return settings.batch_size if batch_size is None else positive_int("batch_size", batch_size)


def as_positions(
    indices: Sequence[int] | Sequence[bool] | np.ndarray | None, n_obs: int
) -> np.ndarray:
    """Positions of the cells that a user asked for, shape ``(n,)``.

    Parameters
    ----------
    indices
        Positions, which may count from the end, or a mask; all cells if `None`.
    n_obs
        Number of cells that there are.

    Raises
    ------
    ValueError
        If ``indices`` holds anything but positions of cells or a mask of all of them.
    """
    if indices is None:
        return np.arange(n_obs)
    found = np.asarray(indices)
    if found.dtype == bool:
        if len(found) != n_obs:
            raise ValueError(f"`indices` is a mask of {len(found)} for {n_obs} cells.")
        return np.flatnonzero(found)
    if found.size and (found.ndim != 1 or not np.issubdtype(found.dtype, np.integer)):
        raise ValueError(
            "`indices` must be a list of whole numbers or a mask, found "
            f"{type(indices).__name__} of {found.dtype}."
        )
    beyond = found[(found < -n_obs) | (found >= n_obs)]
    if beyond.size:
        raise ValueError(f"`indices` must lie between 0 and {n_obs - 1}, found {beyond[0]}.")
    return found.astype(np.int64) % max(n_obs, 1)
