"""How deeply a cell would have been sequenced in a modality that it lacks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from multiDGD._record import Record

# Cells' worth of prior belief that nothing depends on anything. Predictions of held-out cells
# change little between 10 and 100.
_RIDGE = 30.0


@dataclass(frozen=True)
class LibraryRegression(Record):
    """A ridge regression of log library sizes on representations and on each other.

    Types of cells differ in their total count, so a modality's library can be told in part from
    where a cell lies and from how deeply its other modalities were sequenced. Kept as one matrix
    of correlations, from which the regression on whatever was measured in a cell follows.

    Attributes
    ----------
    modalities
        Their names, M of them.
    mean, scale
        Of the features ``[z, z squared, log library of each modality]``, shape ``(2 L + M,)``.
    correlation
        Of the same, shape ``(2 L + M, 2 L + M)``; 0 for modalities never measured together.
    n_cells
        Number of cells it was made from.
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
        """Learn from cells with known libraries.

        Parameters
        ----------
        z_nl
            Representations, shape ``(n, L)``.
        library_nm
            Total counts, shape ``(n, M)``; 0 where a modality was not measured.
        modalities
            Names of the M modalities.
        """
        x = _features(z_nl, library_nm)
        known = np.isfinite(x)
        mean = np.nanmean(x, axis=0)
        scale = np.nanstd(x, axis=0)
        scale[scale == 0] = 1
        x = np.where(known, (x - mean) / scale, 0)
        pairs = known.astype(float).T @ known
        return cls(modalities, mean, scale, x.T @ x / np.maximum(pairs, 1), len(x))

    def predict(
        self, z_nl: np.ndarray, library_nm: np.ndarray, modality: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """Libraries of one modality: measured ones as they are, the others predicted.

        Parameters
        ----------
        z_nl, library_nm
            As for :meth:`fit`.
        modality
            Its name.

        Returns
        -------
        Total counts, and the standard deviation of the logarithm of what was predicted, 0 where
        it was measured; shape ``(n,)`` each.
        """
        x = (_features(z_nl, library_nm) - self.mean) / self.scale
        number = self.modalities.index(modality)
        target = len(self.mean) - len(self.modalities) + number
        found, spread = np.array(library_nm[:, number], dtype=float), np.zeros(len(x))
        for cells, given in _lacking(x, target):
            among = self.correlation[np.ix_(given, given)]
            with_target = self.correlation[given, target]
            ridge = _RIDGE / self.n_cells * np.eye(len(given))
            weights = np.linalg.solve(among + ridge, with_target)
            log_library = self.mean[target] + self.scale[target] * (x[cells][:, given] @ weights)
            found[cells] = np.exp(log_library)
            told = (2 * with_target - among @ weights) @ weights
            spread[cells] = self.scale[target] * np.sqrt(max(1 - told, 0))
        return found, spread


def _lacking(x: np.ndarray, target: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Cells that lack the target, and what is known of them, by what that is."""
    lacking = np.isnan(x[:, target])
    for pattern in np.unique(np.isfinite(x[lacking]), axis=0):
        yield lacking & (np.isfinite(x) == pattern).all(1), np.flatnonzero(pattern)


def _features(z_nl: np.ndarray, library_nm: np.ndarray) -> np.ndarray:
    measured = library_nm > 0
    log_library = np.where(measured, np.log(np.where(measured, library_nm, 1)), np.nan)
    return np.concatenate([z_nl, z_nl**2, log_library], axis=1)
