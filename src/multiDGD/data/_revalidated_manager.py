"""Detection of changes of a registered object."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from mudata import MuData
from scvi import REGISTRY_KEYS
from scvi.data import AnnDataManager

from multiDGD._log import logger

from ._changes import CellRecord
from ._checks import listed
from ._count_fields import CountsField
from ._fingerprints import modality_fingerprints
from ._panels import PANEL_KEY
from ._registry import DataSummary, summarize_registry
from ._snapshot import Snapshot

# Several threads may detect the same change.
_LOCK = threading.RLock()
_MAX_CHECKED = 64


class RevalidatedManager(AnnDataManager):
    """Manager that registers an object again if it was changed after its registration.

    Derived classes read the counts, and set ``_snapshot`` and ``_record`` when they register an
    object.
    """

    adata: Any
    _snapshot: Snapshot | None = None
    _record: CellRecord
    _original: CellRecord | None = None
    _covariate_fingerprints: np.ndarray

    @property
    def summary(self) -> DataSummary:
        """Names of modalities, features, labels and covariates."""
        return summarize_registry(self.registry)

    @property
    def _modality_key(self) -> str | None:
        """Column of ``var`` with the modality of each feature."""
        raise NotImplementedError

    def _matrices(self) -> list[tuple[object, str | None]]:
        """Each registered matrix and its modality, which is None for an AnnData."""
        raise NotImplementedError

    def batches(
        self, indices: Sequence[int] | np.ndarray | None = None, batch_size: int = 4096
    ) -> Iterator[dict[str, Any]]:
        """Iterate over minibatches in order."""
        raise NotImplementedError

    def validate(self) -> None:
        """Register the object again if its counts, names or registered columns were changed.

        Counts on disk, and more than 256 MiB of counts in memory, are compared at sampled
        positions.

        Raises
        ------
        ValueError
            If the object no longer fits the model.
        """
        self._assert_anndata_registered()
        if not self._is_current():
            with _LOCK:
                if not self._is_current():
                    self._register_again()

    def check_cells(self, cells: np.ndarray) -> bool:
        """Register the object again if the counts of a sample of the given cells were changed.

        This complements :meth:`validate`, and does nothing if that compares all counts.

        Parameters
        ----------
        cells
            Positions of the cells, shape ``(n,)``.

        Returns
        -------
        Whether counts were changed.
        """
        if self._snapshot is None or self._snapshot.is_complete or not len(cells):
            return False
        sample = cells[np.unique(np.linspace(0, len(cells) - 1, _MAX_CHECKED, dtype=np.int64))]
        (batch,) = self.batches(sample)
        is_same = np.array_equal(modality_fingerprints(batch), self._record.prints[sample])
        if not is_same:
            with _LOCK:
                self._register_again()
        return not is_same

    def _present(self) -> Snapshot:
        summary = self.summary
        obs = [*summary.covariates, *summary.continuous]
        for key in (REGISTRY_KEYS.LABELS_KEY, PANEL_KEY):
            if key in self.data_registry:
                obs.append(self.get_state_registry(key)["original_key"])
        matrices = [x for x, _ in self._matrices()]
        return Snapshot.of(self.adata, obs, self._modality_key, matrices)

    def _is_current(self) -> bool:
        return self._snapshot is not None and self._present().equals(self._snapshot)

    def _register_again(self) -> None:
        """Register the changed object with the features and categories of the model."""
        adata, registry = self.adata, copy.deepcopy(self._registry)
        covariates = pd.Series(self._covariate_fingerprints, self._record.names)
        self.adata = None
        try:
            self.register_fields(adata, registry)
        except BaseException:
            self.adata = adata
            self._registry.clear()
            self._registry.update(registry)
            self._snapshot = None
            raise
        now = pd.Series(self._covariate_fingerprints, self._record.names)
        common = now.index.intersection(covariates.index)
        changed = common[(now[common] != covariates[common]).to_numpy()]
        if len(changed):
            logger.warning(
                "The covariates of %d cells were changed after they were registered: %s. Results "
                "for these cells follow the new values; the parameters of the model do not.",
                len(changed),
                listed(changed),
            )

    def accept(self) -> None:
        """Take the present counts as those to which :meth:`changes` compares later ones."""
        self._original = self._record

    def changes(self) -> tuple[np.ndarray, np.ndarray, str]:
        """Find cells whose counts were changed since their registration or :meth:`accept`.

        Returns
        -------
        Names of m cells, their fingerprints before the change, and a description of the change.
        """
        before, now = self._original, self._record
        if before is None or before is now:
            return np.array([], dtype=str), np.array([], dtype=np.uint64), ""
        cells, modalities = now.changed_from(before)
        names = np.asarray(before.names[cells], dtype=str)
        features = self.summary.features
        lost = [
            name
            for m, at in before.observed.items()
            for name in features[m][np.setdiff1d(at, now.observed.get(m, np.arange(0)))]
        ]
        if lost:
            parts = self.adata.mod.values() if isinstance(self.adata, MuData) else [self.adata]
            names_of_all = np.concatenate(list(features.values()))
            new = [name for part in parts for name in part.var_names.difference(names_of_all)]
            found = f"; found instead: {listed(new)}" if new else ""
            text = (
                f"`var_names`: {len(lost)} features were renamed or removed: {listed(lost)}{found}"
            )
        else:
            known = list(features)
            places = {self._place_of(known[i]) for i in np.unique(np.nonzero(modalities)[1])}
            text = f"{', '.join(sorted(places))}: the counts of {len(cells)} cells were changed"
        return names, before.fingerprints[cells], text

    def _place_of(self, modality: str) -> str:
        """Place of the counts of a modality, for messages."""
        for field in self.fields:
            own = getattr(field, "adata_field", field)
            if isinstance(own, CountsField) and getattr(field, "mod_key", None) in (
                None,
                modality,
            ):
                return own.where
        raise KeyError(modality)

    def _ensure_current(self) -> None:
        """Validate the object if its cells or matrices are not the registered ones."""
        snapshot = self._snapshot
        if snapshot is not None and (
            self.adata.obs_names is not snapshot.names[0]
            and not self.adata.obs_names.equals(snapshot.names[0])
        ):
            self.validate()
