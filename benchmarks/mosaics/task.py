"""Input and output of the compared methods, each a function ``method(task) -> Fit``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.shared.data import Dataset
from benchmarks.shared.timing import Seconds

PAIRED = "paired"


@dataclass(frozen=True)
class Task:
    """Input of a method. No cell has a label.

    ``single`` has the positions of the cells with one modality only, by modality. With
    ``imputes``, counts of their missing modality are scored. ``python_other`` is the interpreter
    of the other environment.
    """

    data: Dataset
    single: dict[str, np.ndarray]
    imputes: bool
    seed: int = 0
    max_epochs: int | None = None
    python_other: Path | None = None
    threads: int = 1

    @property
    def n_batches(self) -> int:
        """Number of batches."""
        return self.data.n_batches

    @property
    def measured(self) -> np.ndarray:
        """Name of the only modality of each cell, or :data:`PAIRED`."""
        found = np.full(self.data.data.n_obs, PAIRED, dtype=object)
        for name, cells in self.single.items():
            found[cells] = name
        return found

    @property
    def groups(self) -> np.ndarray:
        """Batch and measured modalities of each cell, as one string."""
        return np.array(
            [
                group(batch, name)
                for batch, name in zip(self.data.batch, self.measured, strict=True)
            ]
        )

    @property
    def limit(self) -> dict[str, int]:
        """Argument of ``train`` for the number of epochs, if it was set by hand."""
        return {} if self.max_epochs is None else {"max_epochs": self.max_epochs}

    def lacking(self, modality: str) -> np.ndarray:
        """Positions of the cells that have the other modality only."""
        (other,) = self.single.keys() - {modality}
        return self.single[other]


def group(batch: str, measured: str) -> str:
    """Name of the cells of a batch in which the same modalities were measured."""
    return f"{batch} {measured}"


@dataclass
class Fit:
    """Output of a method.

    ``embedding`` has a row for each cell, NaN where the method cannot embed the cell. ``imputed``
    has predictions by modality, with a row for each cell of ``task.lacking(modality)``: RNA up to
    a factor for each cell, proteins as counts, ATAC as probabilities. ``seconds`` are those of
    training, and ``versions`` those of packages of the other environment.
    """

    embedding: np.ndarray
    seconds: Seconds
    imputed: dict[str, np.ndarray] = field(default_factory=dict)
    epochs: int | None = None
    versions: dict[str, str] = field(default_factory=dict)
