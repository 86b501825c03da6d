"""Time and memory of one training and of mapping other cells, in a process of its own.

``python -m benchmarks.scale.measure CELLS.zarr QUERY.zarr disk`` prints seconds and MiB as JSON.
Memory is the peak above that of the process before it opens the data, after a short training of
other data has loaded and compiled all libraries.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import mudata
import scvi
import torch
from lightning.pytorch.callbacks import Callback

from benchmarks.shared.memory import peak, reset_peak, resident
from benchmarks.shared.quiet import hide_messages
from benchmarks.shared.settings import QUIET
from benchmarks.shared.timing import Seconds
from multiDGD import MultiDGD
from multiDGD.data import open_zarr
from multiDGD.datasets import simulate_multiome

N_COMPONENTS = 30
N_HELD_OUT = 1_000


class Phases:
    """Wall and processor seconds, and peak memory (MiB), of the phases of a run."""

    def __init__(self) -> None:
        self.found: dict[str, dict[str, float]] = {}
        self._before = resident()
        self._is_reset = reset_peak()
        self._start = Seconds.now()

    def end(self, name: str) -> None:
        """End a phase; the next one begins."""
        seconds = Seconds.now().since(self._start)
        memory = peak(self._is_reset) - self._before
        self.found[name] = {"wall": seconds.wall, "cpu": seconds.cpu, "mib": memory}
        print(name, self.found[name], file=sys.stderr, flush=True)
        reset_peak()
        self._start = Seconds.now()


class EndPhases(Callback):
    """Ends the phases "start" and "epoch" of a training of one epoch."""

    def __init__(self, phases: Phases) -> None:
        self._phases = phases

    def on_train_epoch_start(self, trainer: Any, plan: Any) -> None:
        self._phases.end("start")

    def on_validation_start(self, trainer: Any, plan: Any) -> None:
        self._phases.end("epoch")


def measure(path: Path, query_path: Path, place: str) -> dict[str, Any]:
    """Phases of a training of one epoch and a query, with the counts on disk or in memory."""
    warm_up()
    phases = Phases()
    read = open_zarr if place == "disk" else mudata.read_zarr
    mdata = read(path)
    MultiDGD.setup_mudata(mdata, batch_key="batch")
    model = MultiDGD(mdata, n_components=N_COMPONENTS)
    phases.end("setup")
    n_train = mdata.n_obs - N_HELD_OUT
    model.train(
        max_epochs=1, train_size=n_train / mdata.n_obs, callbacks=[EndPhases(phases)], **QUIET
    )
    phases.end("end")
    query = read(query_path)
    model.get_latent_representation(query, silent=True)
    phases.end("query")
    sizes = {"n_cells": mdata.n_obs, "n_train": len(model.train_indices), "n_query": query.n_obs}
    return {**sizes, "place": place, "phases": phases.found}


def warm_up() -> None:
    """Load and compile all libraries by a short training of other data."""
    mdata = simulate_multiome(n_cells=300, n_genes=60, n_peaks=120)
    MultiDGD.setup_mudata(mdata, batch_key="batch")
    MultiDGD(mdata, n_components=2).train(max_epochs=1, **QUIET)


def main() -> None:
    """Parse the command line and print the result."""
    hide_messages()
    scvi.settings.seed = 0
    torch.set_num_threads(1)
    *paths, place = sys.argv[1:]
    print(json.dumps(measure(*map(Path, paths), place)))


if __name__ == "__main__":
    main()
