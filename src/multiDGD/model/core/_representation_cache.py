"""Cache of inferred representations."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from multiDGD.data import CellManager

# The table of trained representations does not affect those of other cells.
_TABLE = "representations."


def parameters_version(module: nn.Module) -> tuple[int, ...]:
    """Checksums of all parameters that inferred representations depend on.

    Parameters
    ----------
    module
        Module of a model.
    """
    sums = [
        value.detach().reshape(-1).view(torch.uint8 if value.itemsize % 4 else torch.int32).sum()
        for name, value in module.state_dict().items()
        if not name.startswith(_TABLE)
    ]
    return tuple(torch.stack(sums).tolist()) if sums else ()


def cell_keys(manager: CellManager) -> np.ndarray:
    """Compute a 64-bit number for everything in the data that a cell's representation depends on.

    These are its counts, its covariates and the features that were measured. Labels are not used
    for new cells.

    Parameters
    ----------
    manager
        Manager of n cells.

    Returns
    -------
    Shape ``(n,)``, uint64.
    """
    panels = manager.panels
    measured = np.array([_checksum(observed) for observed in panels.observed], dtype=np.uint64)
    counts, covariates = manager.fingerprints, manager.covariate_fingerprints
    return (
        counts
        ^ (covariates * np.uint64(0x9E3779B97F4A7C15))
        ^ (measured[panels.codes] << np.uint64(16))
    )


def _checksum(observed: Mapping[str, np.ndarray]) -> int:
    crc = 0
    for modality, features in observed.items():
        crc = zlib.crc32(modality.encode() + np.ascontiguousarray(features).tobytes(), crc)
    return crc


@dataclass
class _Entry:
    """Representations of the cells of one object, NaN where not yet inferred."""

    version: tuple[int, ...]
    keys: np.ndarray
    w: Tensor


class RepresentationCache:
    """Representations of cells that are not in the table of a model, by registered object.

    A cached representation is returned only for the same counts, covariates, measured features and
    model parameters. Several threads can use the cache; one of them infers at a time. Copies and
    pickles of the cache are empty.
    """

    def __init__(self) -> None:
        self._entries: WeakKeyDictionary[CellManager, _Entry] = WeakKeyDictionary()
        self._lock = threading.RLock()

    def __reduce__(self) -> tuple[type[RepresentationCache], tuple[()]]:
        return RepresentationCache, ()

    def clear(self) -> None:
        """Remove all representations."""
        with self._lock:
            self._entries.clear()

    def get(
        self,
        manager: CellManager,
        module: Any,
        cells: np.ndarray,
        infer: Callable[[np.ndarray], Tensor],
    ) -> Tensor:
        """Return the representations of cells, and infer those that are not cached.

        Parameters
        ----------
        manager
            Manager of the object with the cells.
        module
            Module of the model.
        cells
            Positions of the cells in the object, shape ``(n,)``.
        infer
            Function that infers the representations of cells at given positions.

        Returns
        -------
        Shape ``(n, n_representation)``, on the CPU.
        """
        with self._lock:
            version, keys = parameters_version(module), cell_keys(manager)
            entry = self._entries.get(manager)
            if entry is None or entry.version != version:
                w = torch.full(
                    (len(keys), module.n_representation), torch.nan, dtype=torch.float32
                )
                entry = _Entry(version, keys, w)
            elif not np.array_equal(entry.keys, keys):
                entry = _Entry(version, keys, _moved(entry, keys))
            self._entries[manager] = entry
            missing = np.unique(cells[entry.w[cells, 0].isnan().numpy()])
            if len(missing):
                entry.w[missing] = infer(missing).to(entry.w)
            return entry.w[cells]


def _moved(entry: _Entry, keys: np.ndarray) -> Tensor:
    """Representations of the cells with the given keys, after cells were removed or changed."""
    former = pd.Index(entry.keys)
    is_first = ~former.duplicated()
    at = np.append(np.flatnonzero(is_first), -1)[former[is_first].get_indexer(keys)]
    w = entry.w[torch.from_numpy(at)]
    w[torch.from_numpy(at < 0)] = torch.nan
    return w
