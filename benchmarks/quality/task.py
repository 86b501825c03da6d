"""Input and output of the compared methods, each a function ``method(task) -> Fit``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.shared.count_halves import Profiles
from benchmarks.shared.data import Dataset
from benchmarks.shared.timing import Seconds


@dataclass(frozen=True)
class Task:
    """Input of a method. No cell has a label.

    ``half`` are held-out cells with the first half of their molecules, and ``scored`` is a mask of
    the training cells whose neighbours are scored. ``python_other`` is the interpreter of the
    other environment.
    """

    train: Dataset
    half: Dataset
    scored: np.ndarray
    seed: int = 0
    max_epochs: int | None = None
    python_other: Path | None = None
    threads: int = 1

    @property
    def n_batches(self) -> int:
        """Number of batches of the training cells."""
        return self.train.n_batches


class Neighbours(NamedTuple):
    """Neighbours of each scored cell, nearest first and without the cell itself.

    Both arrays have the shape ``(n_scored, k)``; the indices count scored cells.
    """

    indices: np.ndarray
    distances: np.ndarray


@dataclass
class Fit:
    """Output of a method.

    ``embedding`` has a row for each training cell. A method without an embedding has
    ``neighbours`` or neither. ``profiles`` are predictions of the second halves, by the name of
    the prediction (empty if there is one) and by modality. ``seconds`` are those of training, and
    ``versions`` those of packages of the other environment.
    """

    embedding: np.ndarray | None = None
    neighbours: Neighbours | None = None
    profiles: dict[str, Profiles] = field(default_factory=dict)
    seconds: Seconds | None = None
    epochs: int | None = None
    versions: dict[str, str] = field(default_factory=dict)
