"""Telling whether a cell is one that the model has seen."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from multiDGD.nn import Counts


def _hash_counts(counts: Counts, modality: str) -> np.ndarray:
    # A sum modulo 2^64 of the bits of every count times a number of its feature: exact, and the
    # same whatever the order, the minibatch or the dtype in which counts were stored.
    generator = np.random.default_rng(zlib.crc32(modality.encode()))
    weights = generator.integers(1, 2**63, size=counts.n_features, dtype=np.uint64) | np.uint64(1)
    bits = counts.values.cpu().numpy().astype(np.float32).view(np.uint32).astype(np.uint64)
    products = bits * weights[counts.columns.cpu().numpy()]
    sums = np.zeros(counts.n_cells, dtype=np.uint64)
    np.add.at(sums, counts.rows.cpu().numpy(), products)
    return sums


def fingerprints(batches: Iterable[Mapping[str, Any]]) -> np.ndarray:
    """A 64-bit number for each cell that depends on all of its counts.

    Parameters
    ----------
    batches
        Minibatches as :class:`multiDGD.data.CellDataset` gives them.

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
    """Finds cells by their name *and* their counts.

    Names alone would take another data set's cell 0 for this one's, and counts alone would not
    keep apart two cells that happen to have the same ones.

    Parameters
    ----------
    names
        Cell names, shape ``(n,)``.
    fingerprints
        Their :func:`fingerprints`, shape ``(n,)``.
    """

    def __init__(self, names: Iterable[str], fingerprints: np.ndarray) -> None:
        self._index = self._keys(names, fingerprints)

    @staticmethod
    def _keys(names: Iterable[str], fingerprints: np.ndarray) -> pd.MultiIndex:
        return pd.MultiIndex.from_arrays([np.asarray(names, dtype=str), fingerprints])

    def find(self, names: Iterable[str], fingerprints: np.ndarray) -> np.ndarray:
        """Position of each asked cell, -1 where it is not known.

        Parameters
        ----------
        names
            Cell names, shape ``(m,)``.
        fingerprints
            Their fingerprints, shape ``(m,)``.
        """
        return self._index.get_indexer(self._keys(names, fingerprints))
