"""Effect of block-shuffled reading on the quality of a model of real cells."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import mudata
import numpy as np
import scvi

from benchmarks.quality.label_scores import knn_accuracy, nearest
from benchmarks.shared.data import load
from benchmarks.shared.settings import QUIET
from benchmarks.shared.timing import Seconds
from multiDGD import MultiDGD
from multiDGD.data import open_zarr

DATA = "pbmc10k_cite"
MAX_EPOCHS = 15
#: Cells of a block and blocks of a buffer; None for counts in memory.
VARIANTS: dict[str, tuple[int, int] | None] = {
    "in memory": None,
    "128 x 32": (128, 32),
    "32 x 16": (32, 16),
    "128 x 2": (128, 2),
}


def measure(variant: str, seed: int) -> dict[str, Any]:
    """Train on cells sorted by type, and score their representations and held-out cells."""
    dataset = load(DATA)
    data = dataset.data[np.argsort(dataset.labels, kind="stable")].copy()
    labels = np.sort(dataset.labels)
    blocks = VARIANTS[variant]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cells.zarr"
        data.write_zarr(path)
        mdata = mudata.read_zarr(path) if blocks is None else open_zarr(path)
        scvi.settings.seed = seed
        MultiDGD.setup_mudata(mdata)
        model = MultiDGD(mdata)
        start = Seconds.now()
        model.train(
            max_epochs=MAX_EPOCHS,
            early_stopping=False,
            check_val_every_n_epoch=MAX_EPOCHS,
            datasplitter_kwargs=dict(zip(("block_size", "n_blocks"), blocks or (), strict=False)),
            **QUIET,
        )
        seconds = Seconds.now().since(start)
        cells = model.train_indices
        z = model.get_latent_representation(indices=cells)
        known = ~np.isin(labels[cells], ("NA", "nan"))
    return {
        "variant": variant,
        "seed": seed,
        "n_train": len(cells),
        "knn_accuracy": knn_accuracy(nearest(z[known], 15), labels[cells][known]),
        "validation_loss": float(np.asarray(model.history["validation_loss"]).ravel()[-1]),
        "cpu_seconds": seconds.cpu,
    }
