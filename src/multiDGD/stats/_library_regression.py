"""Prediction of the library size of a missing modality."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce

import numpy as np

from multiDGD._record import Record

# Number of cells that is equivalent to the prior of no correlation. Predictions for held-out cells
# change little between 10 and 100.
_RIDGE = 30.0
# Cells whose regressors are in memory at once.
_PART = 2**16


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
        # The regressors of all cells would take several times the memory of the representations.
        slices = [slice(i, i + _PART) for i in range(0, len(z_nl), _PART)]

        def total(of: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
            return reduce(np.add, (of(_regressors(z_nl[s], library_nm[s])) for s in slices))

        def products(x: np.ndarray) -> np.ndarray:
            x = np.where(np.isfinite(x), (x - mean) / scale, 0)
            return x.T @ x

        n_known = total(lambda x: np.isfinite(x).sum(0))
        mean = total(lambda x: np.nansum(x, axis=0)) / n_known
        scale = np.sqrt(total(lambda x: np.nansum((x - mean) ** 2, axis=0)) / n_known)
        scale[scale == 0] = 1
        pairs = total(lambda x: np.isfinite(x).astype(float).T @ np.isfinite(x))
        correlation = total(products) / np.maximum(pairs, 1)
        return cls(modalities, mean, scale, correlation, len(z_nl))

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
