"""AnnDataManager for sparse minibatches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

# scvi-tools' `view_anndata_setup` uses `rich.pretty` without importing it.
import rich.pretty  # noqa: F401
import torch
from anndata import AnnData
from mudata import MuData
from scipy import sparse
from scvi import REGISTRY_KEYS

from ._changes import CellRecord
from ._checks import listed, warn_of_read_counts
from ._csr import as_csr
from ._dataset import CellDataset
from ._feature_matching import columns_of, log_features, observed_features
from ._fingerprints import covariate_fingerprints, modality_fingerprints
from ._matrix_reader import same_matrix
from ._modality_reader import ModalityReader
from ._object_checks import warn_of_unpaired
from ._panels import PANEL_KEY, Panels
from ._query_checks import check_query
from ._registered_panels import (
    announce_absent_features,
    exposures_of,
    find_panels,
    register_panels,
)
from ._registry import COUNTS_PREFIX, MODALITY_KEY, summarize_registry
from ._revalidated_manager import RevalidatedManager

_SETUP_METHOD = "setup_method_name"


class _Columns(NamedTuple):
    """Encoded annotations of all cells."""

    labels: np.ndarray
    covariates: np.ndarray
    continuous: np.ndarray


class CellManager(RevalidatedManager):
    """Manager of a registered object that creates a :class:`CellDataset` of its cells.

    If the object was changed after its registration, :meth:`validate` registers it again with the
    features and categories of the model.
    """

    _readers: list[ModalityReader]
    _panels: Panels | None = None
    _logged_for: tuple[pd.Index, ...] = ()

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
        if source_registry is not None:
            self._check_query(adata, source_registry, **transfer_kwargs)
            # scvi-tools leaves this entry out if it transfers a registry to another object.
            if _SETUP_METHOD in source_registry:
                self._registry[_SETUP_METHOD] = source_registry[_SETUP_METHOD]
        super().register_fields(adata, source_registry, **transfer_kwargs)
        self._snapshot, self._readers, self._panels = None, [], None
        self._observed = observed_features(adata, self.summary.features, self._modality_key)
        self._columns = self._encoded_columns()
        register_panels(self, is_query=source_registry is not None)
        # Exposures depend on the panels.
        self._readers, self._panels = [], None
        parts = [(modality_fingerprints(batch), _libraries(batch)) for batch in self.batches()]
        prints, libraries = (np.concatenate(part) for part in zip(*parts, strict=True))
        empty = np.flatnonzero(libraries.sum(1) == 0)
        if len(empty):
            names = adata.obs_names[empty]
            # scvi-tools regards a manager as registered if `adata` is set.
            self.adata = None
            raise ValueError(
                f"{len(empty):,} of {len(libraries):,} cells have no counts in any modality: "
                f"{listed(names)}. Remove such cells, for example with `scanpy.pp.filter_cells(adata, min_counts=1)`."
            )
        if source_registry is None:
            warn_of_read_counts(next(self.batches())["counts"])
            if self._original is None:
                announce_absent_features(self)
        if isinstance(adata, MuData) and self._original is None:
            warn_of_unpaired(adata, list(self.summary.features))
        self._libraries = libraries
        self._record = CellRecord(adata.obs_names, prints, self._observed)
        self._fingerprints = self._record.fingerprints
        self._covariate_fingerprints = covariate_fingerprints(
            np.concatenate([self._columns.covariates, self._panel_codes()], axis=1),
            self._columns.continuous,
        )
        self._snapshot = self._present()
        if self._original is None:
            self.accept()

    def _check_query(
        self, adata: AnnData | MuData, source: dict, extend_categories: bool = False, **kwargs: Any
    ) -> None:
        if not adata.n_obs:
            raise ValueError("`adata` has no cells.")
        summary = summarize_registry(source)
        setup_args = source.get("setup_args") or {}
        check_query(
            adata,
            summary,
            setup_args.get("batch_key"),
            self._modality_key_of(source),
            setup_args.get("panel_key"),
            extend_categories,
        )
        # scvi-tools registers an object again after another model has used it; log only once.
        parts = adata.mod.values() if isinstance(adata, MuData) else [adata]
        names = tuple(part.var_names for part in parts)
        if len(names) != len(self._logged_for) or not all(
            map(pd.Index.equals, names, self._logged_for)
        ):
            log_features(adata, summary.features, self._modality_key_of(source))
        self._logged_for = names

    @staticmethod
    def _modality_key_of(registry: dict) -> str | None:
        field = registry["field_registries"].get(MODALITY_KEY, {})
        return field.get("state_registry", {}).get("original_key")

    @property
    def _modality_key(self) -> str | None:
        return self._modality_key_of(self.registry)

    @property
    def observed(self) -> dict[str, np.ndarray]:
        """Positions of the model's features in the object, for each modality with any of them."""
        self._ensure_current()
        return self._observed

    @property
    def panels(self) -> Panels:
        """Groups of cells with the same measured features; a single one without ``panel_key``."""
        self._ensure_current()
        if self._panels is None:
            self._panels = find_panels(self)
        return self._panels

    def _panel_codes(self) -> np.ndarray:
        """Codes of the panels, shape ``(n_obs, 1)``, or ``(n_obs, 0)`` without ``panel_key``."""
        return self._registered_columns(PANEL_KEY, np.int64)

    @property
    def readers(self) -> list[ModalityReader]:
        """Readers of all registered matrices, created anew if a matrix has been replaced."""
        current = self._matrices()
        known = self._readers
        pairs = zip(known, current, strict=True)
        if known and all(same_matrix(r.x, x) for r, (x, _) in pairs):
            return known
        if known and self._snapshot is not None:
            self.validate()
        self._readers = [self._make_reader(x, modality) for x, modality in current]
        return self._readers

    @property
    def libraries(self) -> np.ndarray:
        """Library sizes of all cells in each modality, shape ``(n_cells, modalities)``.

        They are 0 where a modality was not measured.
        """
        self._ensure_current()
        return self._libraries

    @property
    def fingerprints(self) -> np.ndarray:
        """The :func:`multiDGD.data.fingerprints` of the registered cells, shape ``(n_cells,)``."""
        self._ensure_current()
        return self._fingerprints

    @property
    def covariate_fingerprints(self) -> np.ndarray:
        """A number for the covariates of each registered cell, shape ``(n_cells,)``, uint64."""
        self._ensure_current()
        return self._covariate_fingerprints

    def _matrices(self) -> list[tuple[object, str | None]]:
        """Each registered matrix and its modality, which is None for an AnnData."""
        found: list[tuple[object, str | None]] = []
        for key, field in self.data_registry.items():
            if key.startswith(COUNTS_PREFIX) and field.mod_key not in self.adata.mod:
                found.append((None, field.mod_key))
            elif key.startswith(COUNTS_PREFIX):
                found.append((self._matrix_or_none(key), field.mod_key))
            elif key == REGISTRY_KEYS.X_KEY:
                found.append((self._matrix_or_none(key), None))
        return found

    def _matrix_or_none(self, key: str) -> object:
        try:
            return self.get_from_registry(key)
        except ValueError:  # The layer was removed; `validate` explains it.
            return None

    def _make_reader(self, x: object, modality: str | None) -> ModalityReader:
        features = self.summary.features
        n_obs = self.adata.n_obs
        if modality is None:
            columns = columns_of(self.adata, features, self._modality_key)
            exposures = exposures_of(self, list(features), np.ones(n_obs, dtype=bool))
            return ModalityReader(x, None, columns, features, exposures)
        if x is None:
            return ModalityReader.unmeasured(n_obs, {modality: features[modality]})
        part = self.adata.mod[modality]
        rows = part.obs_names.get_indexer(self.adata.obs_names)
        paired = np.array_equal(rows, np.arange(part.n_obs))
        return ModalityReader(
            x,
            None if paired else rows,
            {modality: part.var_names},
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
        self._ensure_current()
        return CellDataset(self.readers, *self._columns, indices, positions_only)

    def _encoded_columns(self) -> _Columns:
        """Copies of the encoded columns, which other managers overwrite in the object."""
        batch = self._registered_columns(REGISTRY_KEYS.BATCH_KEY, np.int64)
        others = self._registered_columns(REGISTRY_KEYS.CAT_COVS_KEY, np.int64)
        return _Columns(
            self._label_codes(),
            np.concatenate([batch, others], axis=1),
            self._registered_columns(REGISTRY_KEYS.CONT_COVS_KEY, np.float32),
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

    def _reader(self, modality: str) -> ModalityReader:
        self._ensure_current()
        return next(r for r in self.readers if modality in r.features)

    def is_loaded(self, modality: str) -> bool:
        """Whether the counts of a modality are in memory.

        Parameters
        ----------
        modality
            Name of the modality.
        """
        return self._reader(modality).is_loaded

    def blocks(self, modality: str, size: int = 4096) -> Iterator[sparse.csr_matrix]:
        """Read the counts of one modality in blocks of cells, in order.

        Parameters
        ----------
        modality
            Name of the modality.
        size
            Cells per block. Counts that need no copy are a single block.
        """
        reader = self._reader(modality)
        whole = reader.whole()
        if whole is not None:
            yield whole
            return
        cells = np.arange(self.adata.n_obs)
        for start in range(0, len(cells), size):
            yield as_csr(reader.fetch(cells[start : start + size])[modality])

    def matrix(self, modality: str, cells: np.ndarray | None = None) -> sparse.csr_matrix:
        """Counts of one modality, shape ``(n_cells, f)``, copied only if necessary.

        Parameters
        ----------
        modality
            Name of the modality.
        cells
            Positions of the cells, all by default.
        """
        if cells is not None:
            return as_csr(self._reader(modality).fetch(cells)[modality])
        blocks = list(self.blocks(modality))
        return blocks[0] if len(blocks) == 1 else sparse.vstack(blocks, format="csr")

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


def _libraries(batch: dict[str, Any]) -> np.ndarray:
    """Library sizes of the cells of a minibatch, shape ``(n, modalities)``."""
    return torch.stack([c.library for c in batch["counts"].values()], dim=1).numpy()
