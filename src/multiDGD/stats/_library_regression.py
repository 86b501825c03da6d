"""Prediction of the library size of a missing modality."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from multiDGD._record import Record

# Number of cells that is equivalent to the prior of no correlation. Predictions for held-out cells
# change little between 10 and 100.
_RIDGE = 30.0
# Number of cells whose regressors are in memory at a time.
_BLOCK = 50_000


@dataclass(frozen=True)
class LibraryRegression(Record):
    """Ridge regression of log library sizes on representations and on each other.

    Cell types differ in their total counts. The representation of a cell and the library sizes of
    its other modalities therefore partly predict the library size of a modality. The record is a
    correlation matrix, which yields the regression on any subset of measured modalities.

    Attributes
    ----------
    modalities
        Names of the M modalities.
    mean, scale
        Mean and standard deviation of the regressors ``[z, z squared, log library size of each
        modality]``, shape ``(2 L + M,)``.
    correlation
        Correlation of the regressors, shape ``(2 L + M, 2 L + M)``; 0 for modalities that are
        never measured together.
    n_cells
        Number of cells behind the estimates.
    """

    modalities: list[str]
    mean: np.ndarray
    scale: np.ndarray
    correlation: np.ndarray
    n_cells: int

    @classmethod
    def fit(
        cls, z_nl: np.ndarray, library_nm: np.ndarray, modalities: list[str]
    ) -> LibraryRegression:
        """Fit the regression to cells with measured library sizes.

        Parameters
        ----------
        z_nl
            Representations, shape ``(n, L)``.
        library_nm
            Library sizes, shape ``(n, M)``; 0 for modalities that were not measured.
        modalities
            Names of the M modalities.
        """
        n_cells = len(z_nl)

        def blocks() -> Iterator[np.ndarray]:
            for start in range(0, n_cells, _BLOCK):
                part = slice(start, start + _BLOCK)
                yield _regressors(z_nl[part], library_nm[part])

        n_known = np.maximum(sum(np.isfinite(x).sum(0) for x in blocks()), 1)
        mean = sum(np.nansum(x, axis=0) for x in blocks()) / n_known
        variance = sum(np.nansum((x - mean) ** 2, axis=0) for x in blocks()) / n_known
        scale = np.sqrt(variance)
        scale[scale == 0] = 1
        products, pairs = np.zeros((2, len(mean), len(mean)))
        for x in blocks():
            known = np.isfinite(x).astype(float)
            x = np.where(known, (x - mean) / scale, 0)
            products += x.T @ x
            pairs += known.T @ known
        return cls(modalities, mean, scale, products / np.maximum(pairs, 1), n_cells)

    def predict(
        self, z_nl: np.ndarray, library_nm: np.ndarray, modality: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """Library sizes of one modality, predicted where it was not measured.

        Parameters
        ----------
        z_nl, library_nm
            As for :meth:`fit`.
        modality
            Name of the modality.

        Returns
        -------
        Library sizes and standard deviations of their logarithms, shape ``(n,)`` each. Measured
        library sizes are unchanged, with a standard deviation of 0.
        """
        x = (_regressors(z_nl, library_nm) - self.mean) / self.scale
        column = self.modalities.index(modality)
        target = len(self.mean) - len(self.modalities) + column
        library_n, sd_n = np.array(library_nm[:, column], dtype=float), np.zeros(len(x))
        for cells, known in _missing_target(x, target):
            among = self.correlation[np.ix_(known, known)]
            with_target = self.correlation[known, target]
            ridge = _RIDGE / self.n_cells * np.eye(len(known))
            weights = np.linalg.solve(among + ridge, with_target)
            log_library = self.mean[target] + self.scale[target] * (x[cells][:, known] @ weights)
            library_n[cells] = np.exp(log_library)
            explained = (2 * with_target - among @ weights) @ weights
            sd_n[cells] = self.scale[target] * np.sqrt(max(1 - explained, 0))
        return library_n, sd_n


def _missing_target(x: np.ndarray, target: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Masks of cells without the target, each with the regressors that are known for them."""
    is_missing = np.isnan(x[:, target])
    for pattern in np.unique(np.isfinite(x[is_missing]), axis=0):
        yield is_missing & (np.isfinite(x) == pattern).all(1), np.flatnonzero(pattern)


def _regressors(z_nl: np.ndarray, library_nm: np.ndarray) -> np.ndarray:
    measured = library_nm > 0
    log_library = np.where(measured, np.log(np.where(measured, library_nm, 1)), np.nan)
    return np.concatenate([z_nl, z_nl**2, log_library], axis=1)
