"""AnnDataManager for sparse minibatches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

# scvi-tools' `view_anndata_setup` uses `rich.pretty` without importing it.
import rich.pretty  # noqa: F401
import torch
from anndata import AnnData
from mudata import MuData
from scipy import sparse
from scvi import REGISTRY_KEYS
from scvi.data import AnnDataManager

from ._checks import listed, warn_of_read_counts
from ._dataset import CellDataset
from ._feature_matching import log_features, observed_features
from ._fingerprints import fingerprints
from ._matrix_reader import same_matrix
from ._modality_reader import ModalityReader
from ._panels import Panels
from ._query_checks import check_query
from ._registered_panels import (
    announce_absent_features,
    exposures_of,
    find_panels,
    register_panels,
)
from ._registry import COUNTS_PREFIX, DataSummary, summarize_registry


class CellManager(AnnDataManager):
    """Manager of a registered object that creates a :class:`CellDataset` of its cells."""

    adata: Any

    def register_fields(
        self,
        adata: AnnData | MuData,
        source_registry: dict | None = None,
        **transfer_kwargs: Any,
    ) -> None:
        """Register all fields, then check that every cell has counts.

        Raises
        ------
        ValueError
            If cells have no counts in any modality (the message contains their number and some
            names), or if the object does not fit the model of ``source_registry``.
        """
        self._readers: list[ModalityReader] = []
        self._libraries: tuple[list[ModalityReader], np.ndarray] | None = None
        self._fingerprints: tuple[pd.Index, np.ndarray] | None = None
        if source_registry is not None:
            self._check_query(adata, source_registry, **transfer_kwargs)
        super().register_fields(adata, source_registry, **transfer_kwargs)
        register_panels(self, is_query=source_registry is not None)
        self._readers = []
        empty = np.flatnonzero(self.libraries.sum(1) == 0)
        if len(empty):
            names = adata.obs_names[empty]
            # scvi-tools regards a manager as registered if `adata` is set.
            self.adata = None
            raise ValueError(
                f"{len(empty)} cells have no counts in any modality: {listed(names)}. "
                "Remove them, for example with `scanpy.pp.filter_cells(adata, min_counts=1)`."
            )
        if source_registry is None:
            warn_of_read_counts(next(self.batches())["counts"])
            if not getattr(self, "_logged", False):
                announce_absent_features(self)
            self._logged = True

    def _check_query(
        self, adata: AnnData | MuData, source: dict, extend_categories: bool = False, **kwargs: Any
    ) -> None:
        if not adata.n_obs:
            raise ValueError("`adata` has no cells.")
        summary = summarize_registry(source)
        setup_args = source.get("setup_args") or {}
        batch_key, panel_key = setup_args.get("batch_key"), setup_args.get("panel_key")
        check_query(adata, summary, batch_key, extend_categories, panel_key)
        # scvi-tools registers an object again after another model has used it; log only once.
        if not getattr(self, "_logged", False):
            log_features(adata, summary.features)
        self._logged = True

    @property
    def summary(self) -> DataSummary:
        """Names of modalities, features, labels and covariates."""
        return summarize_registry(self.registry)

    @property
    def observed(self) -> dict[str, np.ndarray]:
        """Positions of the model's features in the object, for each modality with any of them."""
        return observed_features(self.adata, self.summary.features)

    @property
    def panels(self) -> Panels:
        """Groups of cells with the same measured features; a single one without ``panel_key``."""
        return find_panels(self)

    @property
    def readers(self) -> list[ModalityReader]:
        """Readers of all registered matrices, created anew if a matrix has been replaced."""
        current = self._matrices()
        known = self._readers
        pairs = zip(known, current, strict=True)
        if not known or not all(same_matrix(r.x, x) for r, (x, _) in pairs):
            self._readers = [self._make_reader(x, modality) for x, modality in current]
        return self._readers

    @property
    def libraries(self) -> np.ndarray:
        """Library sizes of all cells in each modality, shape ``(n_cells, modalities)``.

        They are 0 where a modality was not measured, and are computed once for the registered
        matrices.
        """
        readers = self.readers  # a new list if a matrix has been replaced
        if self._libraries is None or self._libraries[0] is not readers:
            parts = [
                torch.stack([counts.library for counts in batch["counts"].values()], dim=1)
                for batch in self.batches()
            ]
            self._libraries = readers, torch.cat(parts).numpy()
        return self._libraries[1]

    def _matrices(self) -> list[tuple[object, str | None]]:
        """Each registered matrix and its modality, which is None for an AnnData."""
        found: list[tuple[object, str | None]] = []
        for key, field in self.data_registry.items():
            if key.startswith(COUNTS_PREFIX) and field.mod_key not in self.adata.mod:
                found.append((None, field.mod_key))
            elif key.startswith(COUNTS_PREFIX):
                found.append((self.get_from_registry(key), field.mod_key))
            elif key == REGISTRY_KEYS.X_KEY:
                found.append((self.get_from_registry(key), None))
        return found

    def _make_reader(self, x: object, modality: str | None) -> ModalityReader:
        features = self.summary.features
        n_obs = self.adata.n_obs
        if modality is None:
            exposures = exposures_of(self, list(features), np.ones(n_obs, dtype=bool))
            return ModalityReader(x, None, self.adata.var_names, features, exposures)
        if x is None:
            return ModalityReader.unmeasured(n_obs, {modality: features[modality]})
        part = self.adata.mod[modality]
        rows = part.obs_names.get_indexer(self.adata.obs_names)
        paired = np.array_equal(rows, np.arange(part.n_obs))
        return ModalityReader(
            x,
            None if paired else rows,
            part.var_names,
            {modality: features[modality]},
            exposures_of(self, [modality], rows >= 0),
        )

    def create_torch_dataset(
        self,
        indices: Sequence[int] | np.ndarray | None = None,
        data_and_attributes: Sequence[str] | None = None,
        load_sparse_tensor: bool = False,
    ) -> CellDataset:
        """Create a dataset of some of the cells.

        Parameters
        ----------
        indices
            Positions or boolean mask of the cells, all by default.
        data_and_attributes
            ``["cells"]`` for minibatches of positions only; any other value for complete ones.
        load_sparse_tensor
            Ignored, because counts are always sparse; scvi-tools' data loaders pass it.
        """
        positions_only = data_and_attributes == ["cells"]
        if indices is not None:
            indices = np.asarray(indices)
            indices = np.flatnonzero(indices) if indices.dtype == bool else indices
        batch = self._registered_columns(REGISTRY_KEYS.BATCH_KEY, np.int64)
        others = self._registered_columns(REGISTRY_KEYS.CAT_COVS_KEY, np.int64)
        return CellDataset(
            self.readers,
            self._label_codes(),
            np.concatenate([batch, others], axis=1),
            self._registered_columns(REGISTRY_KEYS.CONT_COVS_KEY, np.float32),
            indices,
            positions_only,
        )

    def _registered_columns(self, key: str, dtype: type) -> np.ndarray:
        """Values registered under a key, shape ``(n_obs, columns)``; no columns if there is none."""
        n_obs = self.adata.n_obs
        if key not in self.data_registry:
            return np.zeros((n_obs, 0), dtype=dtype)
        return np.asarray(self.get_from_registry(key)).astype(dtype).reshape(n_obs, -1)

    def codes(self, key: str) -> np.ndarray:
        """Codes registered under a key, shape ``(n_obs,)``.

        Parameters
        ----------
        key
            Key in the data registry.
        """
        return self._registered_columns(key, np.int64).ravel()

    def _label_codes(self) -> np.ndarray:
        """Label codes, shape ``(n_obs,)``; all -1 if no labels are registered."""
        if REGISTRY_KEYS.LABELS_KEY not in self.data_registry:
            return np.full(self.adata.n_obs, -1)
        return self.codes(REGISTRY_KEYS.LABELS_KEY)

    def matrix(self, modality: str) -> sparse.csr_matrix:
        """All counts of one modality, shape ``(n_cells, f)``, copied only if necessary.

        Parameters
        ----------
        modality
            Name of the modality.
        """
        reader = next(r for r in self.readers if modality in r.features)
        whole = reader.whole()
        if whole is not None:
            return whole
        parts = []
        for batch in self.batches():
            c = batch["counts"][modality]
            at = (c.rows.numpy(), c.columns.numpy())
            parts.append(sparse.csr_matrix((c.values.numpy(), at), (c.n_cells, c.n_features)))
        return sparse.vstack(parts, format="csr")

    @property
    def fingerprints(self) -> np.ndarray:
        """The :func:`multiDGD.data.fingerprints` of the registered cells.

        They are computed once, so a later transformation of the counts does not change them. After
        cells were removed or reordered, the property returns a new array. Callers compare the
        arrays by identity to detect that their own values per cell are out of date.
        """
        names = self.adata.obs_names
        if self._fingerprints is not None and not self._fingerprints[0].equals(names):
            before, values = self._fingerprints
            at = before.get_indexer(names) if before.is_unique else np.array([-1])
            self._fingerprints = None if (at < 0).any() else (names, values[at])
        if self._fingerprints is None:
            self._fingerprints = names, fingerprints(self.batches())
        return self._fingerprints[1]

    def batches(
        self, indices: Sequence[int] | np.ndarray | None = None, batch_size: int = 4096
    ) -> Iterator[dict[str, Any]]:
        """Iterate over minibatches in order, without workers or shuffling.

        Parameters
        ----------
        indices
            Positions or boolean mask of the cells, all by default.
        batch_size
            Cells per minibatch.
        """
        dataset = self.create_torch_dataset(indices)
        for start in range(0, len(dataset), batch_size):
            yield dataset[slice(start, start + batch_size)]
