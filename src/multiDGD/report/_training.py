"""Losses of the training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ._sections import Curve

# Names of the loss of all terms, and of each modality, in the history of a model.
_TOTAL = {"train": "train_loss", "validation": "validation_loss"}
_MODALITY = "reconstruction_loss_{}_{}"


def loss_curves(history: Mapping[str, Any] | None, modalities: Sequence[str]) -> list[Curve]:
    """Losses by epoch: ``all`` terms together, and the counts of each modality.

    Parameters
    ----------
    history
        History of a model; `None` if it was not trained by this package.
    modalities
        Names of the modalities.
    """
    history = history or {}
    curves = [Curve("all", *(_series(history, name) for name in _TOTAL.values()))]
    if len(modalities) > 1:
        curves += [
            Curve(m, *(_series(history, _MODALITY.format(m, split)) for split in _TOTAL))
            for m in modalities
        ]
    return [curve for curve in curves if len(curve.train)]


def count_epochs(curves: Sequence[Curve]) -> int:
    """Number of epochs in the history."""
    return max((len(curve.train) for curve in curves), default=0)


def _series(history: Mapping[str, Any], name: str) -> np.ndarray:
    """Epochs, counted from 1, and finite values, shape ``(n, 2)``."""
    if name not in history:
        return np.zeros((0, 2))
    column = pd.DataFrame(history[name]).iloc[:, 0]
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float)
    epochs = np.arange(1, len(values) + 1)
    return np.stack([epochs, values], 1)[np.isfinite(values)]
