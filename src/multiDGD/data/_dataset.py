"""Dataset of minibatches with sparse counts, labels and covariates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from ._reader import CountReader


class CellDataset(Dataset):
    """Minibatches of registered cells.

    Indexing returns a dictionary with

    - ``"cells"``: positions in the registered object, shape ``(n,)``;
    - ``"counts"``: :class:`multiDGD.nn.Counts` of each modality, by name;
    - ``"labels"``: codes, -1 where unknown, shape ``(n,)``;
    - ``"covariates"``: codes of the categorical covariates, shape ``(n, covariates)``;
    - ``"continuous"``: continuous covariates, shape ``(n, covariates)``.

    Parameters
    ----------
    readers
        Readers of the count matrices.
    labels
        Codes of all registered cells, -1 where unknown, shape ``(n_obs,)``.
    covariates
        Codes of the categorical covariates, shape ``(n_obs, covariates)``.
    continuous
        Continuous covariates, shape ``(n_obs, covariates)``.
    indices
        Positions of the cells in the dataset, all by default.
    positions_only
        Whether minibatches contain only ``"cells"``.
    """

    def __init__(
        self,
        readers: Sequence[CountReader],
        labels: np.ndarray,
        covariates: np.ndarray,
        continuous: np.ndarray,
        indices: Sequence[int] | np.ndarray | None = None,
        positions_only: bool = False,
    ) -> None:
        self.labels = labels
        self.covariates = covariates
        self.continuous = continuous
        self.indices = np.arange(len(labels)) if indices is None else np.asarray(indices)
        self.positions_only = positions_only
        self._readers = readers

    @property
    def is_loaded(self) -> bool:
        """Whether all counts are in memory."""
        return all(reader.is_loaded for reader in self._readers)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int | Sequence[int] | slice | np.ndarray) -> dict[str, Any]:
        cells = np.atleast_1d(self.indices[index])
        if self.positions_only:
            return {"cells": torch.from_numpy(cells)}
        counts = {}
        for reader in self._readers:
            counts.update(reader.fetch(cells))
        return {
            "cells": torch.from_numpy(cells),
            "counts": counts,
            "labels": torch.from_numpy(self.labels[cells]),
            "covariates": torch.from_numpy(self.covariates[cells]),
            "continuous": torch.from_numpy(self.continuous[cells]),
        }
