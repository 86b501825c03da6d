"""Molecules of cells, drawn from mixtures of two profiles in constant time each."""

from __future__ import annotations

import numba
import numpy as np
import scipy.sparse as sp

Tables = tuple[np.ndarray, np.ndarray]


@numba.njit
def alias_tables(profiles: np.ndarray) -> Tables:
    """Tables of Walker's alias method for each profile.

    Parameters
    ----------
    profiles
        Probabilities of the features, shape ``(profiles, features)``.

    Returns
    -------
    Probability to keep a feature that was drawn uniformly, and the feature that replaces it, of
    the shape of the profiles.
    """
    n = profiles.shape[1]
    keep, other = profiles * n, np.zeros(profiles.shape, np.int32)
    for row in range(len(profiles)):
        small = [j for j in range(n) if keep[row, j] < 1]
        large = [j for j in range(n) if keep[row, j] >= 1]
        while small and large:
            j, k = small.pop(), large[-1]
            other[row, j] = k
            keep[row, k] -= 1 - keep[row, j]
            if keep[row, k] < 1:
                small.append(large.pop())
        for j in small:  # by rounding
            keep[row, j] = 1
    return keep, other


def draw_counts(
    tables: Tables,
    sizes: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    share: np.ndarray,
    rng: np.random.Generator,
) -> sp.csr_matrix:
    """Draw the counts of cells.

    Parameters
    ----------
    tables
        Result of :func:`alias_tables`.
    sizes
        Number of molecules of each cell.
    first, second
        Profiles of each cell.
    share
        Probability of the first profile.
    rng
        Random generator.
    """
    data, indices = np.zeros(sizes.sum(), np.uint16), np.zeros(sizes.sum(), np.int32)
    ends = np.zeros(len(sizes) + 1, np.int64)
    _draw(*tables, sizes, first, second, share, rng, data, indices, ends)
    shape = len(sizes), tables[0].shape[1]
    return sp.csr_matrix((data[: ends[-1]], indices[: ends[-1]], ends), shape)


@numba.njit
def _draw(
    keep: np.ndarray,
    other: np.ndarray,
    sizes: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    share: np.ndarray,
    rng: np.random.Generator,
    data: np.ndarray,
    indices: np.ndarray,
    ends: np.ndarray,
) -> None:
    n_features = keep.shape[1]
    counts = np.zeros(n_features, np.uint16)
    n = 0
    for cell in range(len(sizes)):
        for _ in range(sizes[cell]):
            row = first[cell] if rng.random() < share[cell] else second[cell]
            at = rng.random() * n_features
            j = int(at)
            counts[j if at - j < keep[row, j] else other[row, j]] += 1
        for j in range(n_features):
            if counts[j]:
                data[n], indices[n] = counts[j], j
                counts[j] = 0
                n += 1
        ends[cell + 1] = n
