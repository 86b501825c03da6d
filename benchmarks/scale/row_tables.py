"""Memory of a training with its tables of one row for each cell in memory or in mapped files.

``python -m benchmarks.scale.row_tables 1000000 mapped`` prints the peak of the anonymous memory in each
phase, in bytes for each cell, as JSON. The counts have three features, so that the memory is that of
the cells and not of their counts. Pages of mapped files do not count, because the system can write
them to disk. The files replace the tables during the training only.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import scvi
import torch
from anndata import AnnData
from lightning.pytorch.callbacks import Callback

from benchmarks.shared.memory import anonymous
from benchmarks.shared.quiet import hide_messages
from benchmarks.shared.settings import QUIET
from multiDGD import MultiDGD

N_HELD_OUT = 2_000
_BATCH_SIZE = 8_192
_INTERVAL = 0.01


class Peaks(Callback):
    """Peak of the anonymous memory (bytes per cell) in each phase of a training.

    Parameters
    ----------
    n_cells
        Number of cells.
    place
        ``"mapped"`` to move the tables to mapped files in ``folder``.
    folder
        Folder of the files.
    """

    def __init__(self, n_cells: int, place: str, folder: Path) -> None:
        self.found: dict[str, float] = {}
        self._n_cells, self._place, self._folder = n_cells, place, folder
        self._before = self._peak = anonymous()
        self._lock = threading.Lock()
        threading.Thread(target=self._sample, daemon=True).start()

    def _sample(self) -> None:
        wait = threading.Event()
        while not wait.wait(_INTERVAL):
            with self._lock:
                self._peak = max(self._peak, anonymous())

    def end(self, name: str) -> None:
        """End a phase; the next one begins."""
        with self._lock:
            peak, self._peak = max(self._peak, anonymous()), 0.0
        self.found[name] = round((peak - self._before) * 2**20 / self._n_cells)
        print(name, self.found[name], file=sys.stderr, flush=True)

    def on_train_start(self, trainer: Any, plan: Any) -> None:
        self.end("start")
        if self._place == "mapped":
            rows, z = plan.row_optimizer, plan.module.representations.z
            z.data = self._mapped("z", z.data)
            rows.table = z.detach()
            for name, table in rows.state_dict().items():
                setattr(rows, name, self._mapped(name, table))

    def on_validation_start(self, trainer: Any, plan: Any) -> None:
        self.end(f"epoch {trainer.current_epoch + 1}")

    def _mapped(self, name: str, table: torch.Tensor) -> torch.Tensor:
        path, size = str(self._folder / name), table.numel()
        values = torch.from_file(path, shared=True, size=size, dtype=table.dtype)
        return values.view(table.shape).copy_(table)


def measure(n_cells: int, place: str) -> dict[str, Any]:
    """Peaks of setup, training, saving and loading."""
    _train(_cells(N_HELD_OUT * 2), [])
    adata = _cells(n_cells)
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder = Path(name)
        peaks = Peaks(n_cells, place, folder)
        model = _train(adata, [peaks])
        peaks.end("end")
        model.save(folder / "model")
        peaks.end("save")
        del model
        MultiDGD.load(folder / "model", adata=adata)
        peaks.end("load")
    return {"n_cells": n_cells, "place": place, "bytes_per_cell": peaks.found}


def _cells(n: int) -> AnnData:
    counts = np.random.default_rng(0).poisson(2, (n, 3)).astype(np.float32)
    counts[:, 0] += 1
    names = pd.Index(np.char.add("cell", np.arange(n).astype(str)))
    batch = pd.Categorical((np.arange(n) % 2).astype(str))
    return AnnData(sp.csr_matrix(counts), obs=pd.DataFrame({"batch": batch}, index=names))


def _train(adata: AnnData, peaks: list[Peaks]) -> MultiDGD:
    MultiDGD.setup_anndata(adata, batch_key="batch")
    model = MultiDGD(adata, n_components=2)
    for p in peaks:
        p.end("setup")
    model.train(
        max_epochs=2,
        train_size=1 - N_HELD_OUT / adata.n_obs,
        batch_size=_BATCH_SIZE,
        callbacks=peaks,
        **QUIET,
    )
    return model


def main() -> None:
    """Parse the command line and print the result."""
    hide_messages()
    scvi.settings.seed = 0
    torch.set_num_threads(1)
    n_cells, place = sys.argv[1:]
    print(json.dumps(measure(int(n_cells), place)))


if __name__ == "__main__":
    main()
