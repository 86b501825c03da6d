"""Principal axes of a matrix that is read in passes over blocks of its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

Array = npt.NDArray[np.float64]

# Vectors that are multiplied in one pass.
_BLOCK = 64
_MAX_PASSES = 24
# Largest residual of an axis, relative to its eigenvalue. Scores then differ by less than 1e-3.
_TOLERANCE = 2e-4
# Eigenvalues below this share of the first are not resolved further.
_NEGLIGIBLE = 1e-3


def krylov_axes(
    rows: Callable[[], Iterable[sp.csr_matrix]],
    mean: Array,
    weight: Array,
    n_axes: int,
    seed: int,
) -> Array:
    """Leading right singular vectors of ``(rows - mean) * weight``, by block Lanczos iterations.

    Each pass multiplies a block of vectors and adds it to a basis, in which the axes are sought.
    This needs far fewer passes than power iterations of a randomised decomposition (Musco & Musco,
    NeurIPS 2015).

    Parameters
    ----------
    rows
        Function that reads all rows in blocks, of shape ``(some cells, n_features)``.
    mean, weight
        Mean and weight of each feature, shape ``(n_features,)`` each.
    n_axes
        Number of axes.
    seed
        Seed of the first block of vectors.

    Returns
    -------
    numpy.ndarray
        Orthonormal axes in descending order of their eigenvalues, shape ``(n_features, n_axes)``.
    """
    n_features = len(mean)
    width = min(_BLOCK, n_features)
    first = np.random.default_rng(seed).standard_normal((n_features, width))
    # Pages of columns that are never used take no memory.
    limit = width * max(min(_MAX_PASSES, n_features // width), 1)
    space = np.empty((n_features, limit), np.float32, order="F")
    space[:, :width] = np.linalg.qr(first)[0]
    products = np.zeros((0, 0))
    for end in range(width, limit + 1, width):
        basis = space[:, :end]
        image = _multiply(rows(), basis[:, -width:], mean, weight)
        products = _extended(products, basis.T @ image, width)
        values, coordinates = np.linalg.eigh(products)
        values, coordinates = values[::-1][:n_axes], coordinates[:, ::-1][:, :n_axes]
        new, size = np.linalg.qr(image - basis @ (basis.T @ image))
        # Once is inexact, and arbitrary if the basis contains the image.
        new, factor = np.linalg.qr(new - basis @ (basis.T @ new))
        residual = np.linalg.norm(factor @ size @ coordinates[-width:], axis=0)
        least = np.maximum(values, _NEGLIGIBLE * values[0])
        if end == limit or (residual <= _TOLERANCE * least).all():
            break
        space[:, end : end + width] = new
    return np.asarray(basis @ coordinates, np.float64)


def _extended(products: Array, last: Array, width: int) -> Array:
    """Add the products of the last block of the basis with all vectors, shape ``(n, width)``."""
    n_old = len(products)
    found = np.zeros((n_old + width, n_old + width))
    found[:n_old, :n_old] = products
    found[:, n_old:] = last
    found[n_old:] = last.T
    found[n_old:, n_old:] = (last[n_old:] + last[n_old:].T) / 2
    return found


def _multiply(
    rows: Iterable[sp.csr_matrix], vectors: npt.NDArray[np.float32], mean: Array, weight: Array
) -> Array:
    """Product of the covariance matrix, times the number of cells, with some vectors."""
    weighted = weight.astype(np.float32)[:, None] * vectors
    centre = mean * weight
    shift = (centre @ vectors).astype(np.float32)
    image, total = np.zeros(vectors.shape), np.zeros(vectors.shape[1])
    for block in rows:
        scores = block @ weighted - shift
        image += block.T @ scores
        total += scores.sum(axis=0, dtype=np.float64)
    return weight[:, None] * image - np.outer(centre, total)
