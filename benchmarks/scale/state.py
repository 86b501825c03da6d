"""Memory of what a model holds for each cell, in a process of its own.

``python -m benchmarks.scale.state 1000000`` prints bytes per cell as JSON. Each cell has counts of
three features only, so that counts are a small part of the memory.
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import warnings
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
import scvi
import torch
from lightning.pytorch.callbacks import Callback

from benchmarks.scale.measure import warm_up
from benchmarks.shared.memory import peak, reset_peak, resident
from benchmarks.shared.settings import QUIET
from multiDGD import MultiDGD

N_LATENT = 20
BATCH_SIZE = 8_192


class Phases:
    """Bytes per cell at the end of each phase of a run, and at its peak."""

    def __init__(self, n_cells: int) -> None:
        self.found: dict[str, dict[str, float]] = {}
        self._per_cell = 2**20 / n_cells
        self._before = resident()
        self._is_reset = reset_peak()

    def end(self, name: str) -> None:
        """End a phase; the next one begins. The same name again adds to its phase."""
        now, most = resident() - self._before, peak(self._is_reset) - self._before
        former = self.found.get(name, {"peak": 0.0})["peak"]
        most = max(former, most * self._per_cell)
        self.found[name] = {"end": now * self._per_cell, "peak": most}
        reset_peak()


class EndPhases(Callback):
    """Ends the phases "start" and "epochs" of a training."""

    def __init__(self, phases: Phases) -> None:
        self._phases = phases

    def on_train_epoch_start(self, trainer: Any, plan: Any) -> None:
        self._phases.end("start" if trainer.current_epoch == 0 else "epochs")

    def on_train_epoch_end(self, trainer: Any, plan: Any) -> None:
        self._phases.end("epochs")


def measure(n_cells: int) -> dict[str, Any]:
    """Phases of a setup, a training of two epochs, and a save."""
    warm_up()
    phases = Phases(n_cells)
    adata = _simulate(n_cells)
    phases.end("data")
    MultiDGD.setup_anndata(adata, batch_key="batch")
    phases.end("setup")
    model = MultiDGD(adata, n_latent=N_LATENT, n_components=4)
    phases.end("model")
    model.train(
        max_epochs=2,
        start="zero",
        batch_size=BATCH_SIZE,
        train_size=1.0,
        callbacks=[EndPhases(phases)],
        **QUIET,
    )
    phases.end("end")
    with tempfile.TemporaryDirectory() as folder:
        model.save(f"{folder}/model")
        phases.end("save")
    return {"n_cells": n_cells, "n_latent": N_LATENT, "phases": phases.found}


def _simulate(n_cells: int) -> ad.AnnData:
    """Cells with one count of each of two features."""
    columns = np.tile(np.array([0, 2], dtype=np.int32), n_cells)
    ends = np.arange(0, 2 * n_cells + 1, 2, dtype=np.int32)
    x = sp.csr_matrix((np.ones(2 * n_cells, dtype=np.float32), columns, ends), (n_cells, 3))
    batch = pd.Categorical.from_codes(np.arange(n_cells) % 3, ["a", "b", "c"])
    return ad.AnnData(x, pd.DataFrame({"batch": batch}, index=pd.RangeIndex(n_cells).astype(str)))


def main() -> None:
    """Parse the command line and print the result."""
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    scvi.settings.verbosity = logging.ERROR
    scvi.settings.seed = 0
    torch.set_num_threads(1)
    print(json.dumps(measure(int(sys.argv[1]))))


if __name__ == "__main__":
    main()
