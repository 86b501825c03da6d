"""Identification of cells by name and by a fingerprint of their counts."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from multiDGD.nn import Counts


def _weights(name: str, n: int) -> np.ndarray:
    """Random odd numbers that depend on a name, shape ``(n,)``, uint64."""
    generator = np.random.default_rng(zlib.crc32(name.encode()))
    return generator.integers(1, 2**63, size=n, dtype=np.uint64) | np.uint64(1)


def _hash_counts(counts: Counts, modality: str) -> np.ndarray:
    # The sum modulo 2^64 of the bits of each count times a random number of its feature is exact and
    # does not depend on the order, the minibatch or the dtype of the stored counts.
    weights = _weights(modality, counts.n_features)
    bits = counts.values.cpu().numpy().astype(np.float32).view(np.uint32).astype(np.uint64)
    products = bits * weights[counts.columns.cpu().numpy()]
    sums = np.zeros(counts.n_cells, dtype=np.uint64)
    np.add.at(sums, counts.rows.cpu().numpy(), products)
    return sums


def modality_fingerprints(batch: Mapping[str, Any]) -> np.ndarray:
    """Compute a 64-bit number for the counts of each cell in each modality.

    Parameters
    ----------
    batch
        Minibatch of n cells from :class:`multiDGD.data.CellDataset`.

    Returns
    -------
    Shape ``(n, modalities)``, uint64.
    """
    return np.stack([_hash_counts(c, m) for m, c in batch["counts"].items()], axis=1)


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
    parts = [modality_fingerprints(batch).sum(1, dtype=np.uint64) for batch in batches]
    return np.concatenate(parts)


def covariate_fingerprints(covariates: np.ndarray, continuous: np.ndarray) -> np.ndarray:
    """Compute a 64-bit number for each cell from its covariates.

    Parameters
    ----------
    covariates
        Codes of categorical covariates, shape ``(n, covariates)``.
    continuous
        Continuous covariates, shape ``(n, covariates)``.

    Returns
    -------
    Shape ``(n,)``, uint64; 0 without covariates.
    """
    bits = np.concatenate(
        [
            covariates.astype(np.int64).view(np.uint64),
            np.ascontiguousarray(continuous, np.float32).view(np.uint32).astype(np.uint64),
        ],
        axis=1,
    )
    # Code 0 differs from no covariate.
    return ((bits + np.uint64(1)) * _weights("covariates", bits.shape[1])).sum(1, dtype=np.uint64)


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
