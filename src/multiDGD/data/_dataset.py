"""Cells as minibatches of sparse counts, labels and covariates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scvi import REGISTRY_KEYS
from torch.utils.data import Dataset

if TYPE_CHECKING:
    from ._manager import CellManager


class CellDataset(Dataset):
    """Minibatches of registered cells.

    Indexing with positions gives a dictionary of

    - ``"cells"``: positions in the whole object, shape ``(n,)``;
    - ``"counts"``: :class:`multiDGD.nn.Counts` of every modality, by name;
    - ``"labels"``: codes, -1 where unknown, shape ``(n,)``;
    - ``"covariates"``: codes of every categorical covariate, shape ``(n, covariates)``;
    - ``"continuous"``: continuous covariates, shape ``(n, covariates)``.

    Parameters
    ----------
    manager
        Manager of the registered object.
    indices
        Cells to serve, all by default.
    positions_only
        Serve ``"cells"`` and nothing else.
    """

    def __init__(
        self,
        manager: CellManager,
        indices: Sequence[int] | np.ndarray | None = None,
        positions_only: bool = False,
    ) -> None:
        self.positions_only = positions_only
        n_obs = manager.adata.n_obs
        self.indices = np.arange(n_obs) if indices is None else np.asarray(indices)
        self._sources = manager.sources
        registered = manager.data_registry

        def columns(key: str, dtype: type) -> np.ndarray:
            """What is registered under a key, shape ``(n_obs, columns)``, none if nothing is."""
            if key not in registered:
                return np.zeros((n_obs, 0), dtype=dtype)
            return np.asarray(manager.get_from_registry(key)).astype(dtype).reshape(n_obs, -1)

        batch = columns(REGISTRY_KEYS.BATCH_KEY, np.int64)
        others = columns(REGISTRY_KEYS.CAT_COVS_KEY, np.int64)
        self.covariates = np.concatenate([batch, others], axis=1)
        self.continuous = columns(REGISTRY_KEYS.CONT_COVS_KEY, np.float32)
        self.labels = (
            columns(REGISTRY_KEYS.LABELS_KEY, np.int64).ravel()
            if REGISTRY_KEYS.LABELS_KEY in registered
            else np.full(n_obs, -1)
        )

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int | Sequence[int] | slice) -> dict[str, Any]:
        cells = np.atleast_1d(self.indices[index])
        if self.positions_only:
            return {"cells": torch.from_numpy(cells)}
        counts = {}
        for source in self._sources:
            counts.update(source.fetch(cells))
        return {
            "cells": torch.from_numpy(cells),
            "counts": counts,
            "labels": torch.from_numpy(self.labels[cells]),
            "covariates": torch.from_numpy(self.covariates[cells]),
            "continuous": torch.from_numpy(self.continuous[cells]),
        }
