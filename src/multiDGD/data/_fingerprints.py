"""Identification of cells by name and by a fingerprint of their counts."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from multiDGD.nn import Counts


def _hash_counts(counts: Counts, modality: str) -> np.ndarray:
    # The sum modulo 2^64 of the bits of each count times a random number of its feature is exact and
    # does not depend on the order, the minibatch or the dtype of the stored counts.
    generator = np.random.default_rng(zlib.crc32(modality.encode()))
    weights = generator.integers(1, 2**63, size=counts.n_features, dtype=np.uint64) | np.uint64(1)
    bits = counts.values.cpu().numpy().astype(np.float32).view(np.uint32).astype(np.uint64)
    products = bits * weights[counts.columns.cpu().numpy()]
    sums = np.zeros(counts.n_cells, dtype=np.uint64)
    np.add.at(sums, counts.rows.cpu().numpy(), products)
    return sums


def fingerprints(batches: Iterable[Mapping[str, Any]]) -> np.ndarray:
    """Compute a 64-bit number for each cell from all of its counts.

    Parameters
    ----------
    batches
        Minibatches from :class:`multiDGD.data.CellDataset`.

    Returns
    -------
    Shape ``(n,)``, uint64.
    """
    parts = [
        np.sum([_hash_counts(c, m) for m, c in batch["counts"].items()], axis=0, dtype=np.uint64)
        for batch in batches
    ]
    return np.concatenate(parts)


class CellIndex:
    """Index of cells by name *and* counts.

    Names alone would match cell 0 of an unrelated data set. Counts alone would not distinguish two
    cells with identical counts.

    Parameters
    ----------
    names
        Cell names, shape ``(n,)``.
    fingerprints
        Their :func:`~multiDGD.data.fingerprints`, shape ``(n,)``.
    """

    def __init__(self, names: Iterable[str], fingerprints: np.ndarray) -> None:
        self._index = self._keys(names, fingerprints)

    @staticmethod
    def _keys(names: Iterable[str], fingerprints: np.ndarray) -> pd.MultiIndex:
        return pd.MultiIndex.from_arrays([np.asarray(names, dtype=str), fingerprints])

    def find(self, names: Iterable[str], fingerprints: np.ndarray) -> np.ndarray:
        """Look up the position of each cell, -1 where it is not in the index.

        Parameters
        ----------
        names
            Cell names, shape ``(m,)``.
        fingerprints
            Their fingerprints, shape ``(m,)``.

        Returns
        -------
        Positions, shape ``(m,)``.
        """
        return self._index.get_indexer(self._keys(names, fingerprints))
