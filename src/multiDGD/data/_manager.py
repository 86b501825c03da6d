"""The AnnDataManager that serves sparse minibatches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

# scvi-tools' `view_anndata_setup` prints by `rich.pretty`, which it does not import.
import rich.pretty  # noqa: F401
import torch
from anndata import AnnData
from mudata import MuData
from scipy import sparse
from scvi import REGISTRY_KEYS
from scvi.data import AnnDataManager

from ._checks import listed, log_reads
from ._dataset import CellDataset
from ._identity import fingerprints
from ._query import check_query, log_features, observed_features
from ._reader import same_matrix
from ._registry import COUNTS_PREFIX, DataSummary, summarize_registry
from ._source import CountSource


class CellManager(AnnDataManager):
    """Registers cells as scvi-tools does and serves them as :class:`CellDataset`."""

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
            If cells have no counts in any modality, with their number and some names; or if the
            object does not fit the model whose registry is given.
        """
        self._sources: list[CountSource] = []
        self._libraries: tuple[list[CountSource], np.ndarray] | None = None
        self._fingerprints: tuple[pd.Index, np.ndarray] | None = None
        if source_registry is not None:
            self._check_query(adata, source_registry, **transfer_kwargs)
        super().register_fields(adata, source_registry, **transfer_kwargs)
        empty = np.flatnonzero(self.libraries.sum(1) == 0)
        if len(empty):
            names = adata.obs_names[empty]
            # A manager with an object counts as registered.
            self.adata = None
            raise ValueError(
                f"{len(empty)} cells have no counts in any modality: {listed(names)}. "
                "Remove them, for example with `scanpy.pp.filter_cells(adata, min_counts=1)`."
            )
        if source_registry is None:
            log_reads(next(self.batches())["counts"])

    def _check_query(
        self, adata: AnnData | MuData, source: dict, extend_categories: bool = False, **kwargs: Any
    ) -> None:
        if not adata.n_obs:
            raise ValueError("`adata` has no cells.")
        summary = summarize_registry(source)
        batch_key = (source.get("setup_args") or {}).get("batch_key")
        check_query(adata, summary, batch_key, extend_categories)
        # scvi-tools registers an object again whenever another model has used it in between.
        if not getattr(self, "_logged", False):
            log_features(adata, summary.features)
        self._logged = True

    @property
    def summary(self) -> DataSummary:
        """Names of modalities, features, labels and covariates."""
        return summarize_registry(self.registry)

    @property
    def observed(self) -> dict[str, np.ndarray]:
        """Positions of the features that the object has, of each modality with any."""
        return observed_features(self.adata, self.summary.features)

    @property
    def sources(self) -> list[CountSource]:
        """Counts of every registered matrix."""
        current = self._matrices()
        known = self._sources
        pairs = zip(known, current, strict=True)
        if not known or not all(same_matrix(s.x, x) for s, (x, _) in pairs):
            self._sources = [self._make_source(x, modality) for x, modality in current]
        return self._sources

    @property
    def libraries(self) -> np.ndarray:
        """Total counts of all cells by modality, shape ``(n_cells, modalities)``.

        0 where a modality was not measured. Taken once for the matrices that are registered.
        """
        sources = self.sources  # another list where a matrix has been replaced
        if self._libraries is None or self._libraries[0] is not sources:
            parts = [
                torch.stack([counts.library for counts in batch["counts"].values()], dim=1)
                for batch in self.batches()
            ]
            self._libraries = sources, torch.cat(parts).numpy()
        return self._libraries[1]

    def _matrices(self) -> list[tuple[object, str | None]]:
        found: list[tuple[object, str | None]] = []
        for key, place in self.data_registry.items():
            if key.startswith(COUNTS_PREFIX) and place.mod_key not in self.adata.mod:
                found.append((None, place.mod_key))
            elif key.startswith(COUNTS_PREFIX):
                found.append((self.get_from_registry(key), place.mod_key))
            elif key == REGISTRY_KEYS.X_KEY:
                found.append((self.get_from_registry(key), None))
        return found

    def _make_source(self, x: object, modality: str | None) -> CountSource:
        features = self.summary.features
        if modality is None:
            return CountSource(x, None, self.adata.var_names, features)
        if x is None:
            return CountSource.absent(self.adata.n_obs, {modality: features[modality]})
        part = self.adata.mod[modality]
        rows = part.obs_names.get_indexer(self.adata.obs_names)
        paired = np.array_equal(rows, np.arange(part.n_obs))
        return CountSource(
            x, None if paired else rows, part.var_names, {modality: features[modality]}
        )

    def create_torch_dataset(
        self,
        indices: Sequence[int] | np.ndarray | None = None,
        data_and_attributes: Sequence[str] | None = None,
        load_sparse_tensor: bool = False,
    ) -> CellDataset:
        """Serve some of the cells.

        Parameters
        ----------
        indices
            Positions or mask of the cells, all by default.
        data_and_attributes
            ``["cells"]`` to serve positions alone; otherwise everything is served.
        load_sparse_tensor
            Accepted because scvi-tools' loaders pass it; counts are always sparse.
        """
        positions_only = data_and_attributes == ["cells"]
        if indices is not None:
            indices = np.asarray(indices)
            indices = np.flatnonzero(indices) if indices.dtype == bool else indices
        return CellDataset(self, indices, positions_only)

    def matrix(self, modality: str) -> sparse.csr_matrix:
        """All counts of one modality, shape ``(n_cells, f)``, copied only where they must be.

        Parameters
        ----------
        modality
            Its name.
        """
        source = next(s for s in self.sources if modality in s.features)
        whole = source.whole()
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
        """What :func:`multiDGD.data.fingerprints` says of the registered cells.

        Taken once: cells stay themselves when their counts are transformed afterwards. Where cells
        were taken out or put in another order since, this is another array, which tells callers
        that what they kept of the cells is out of date.
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
        """Walk through cells in order, without workers or shuffling.

        Parameters
        ----------
        indices
            Positions or mask of the cells, all by default.
        batch_size
            Cells in a minibatch.
        """
        dataset = self.create_torch_dataset(indices)
        for start in range(0, len(dataset), batch_size):
            yield dataset[slice(start, start + batch_size)]
