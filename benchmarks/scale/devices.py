"""Time of an epoch in one and in several processes on one host.

``python -m benchmarks.scale.devices CELLS.zarr`` prints a row for each number of processes as JSON.
The runs alternate, so that other load on the machine affects all of them alike.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import mudata
import numpy as np
import scvi
import torch
import torch.distributed as dist
from lightning.pytorch.callbacks import Callback

from benchmarks.scale.measure import N_COMPONENTS
from benchmarks.shared.quiet import hide_messages
from benchmarks.shared.settings import QUIET
from benchmarks.shared.timing import Seconds
from benchmarks.shared.training_steps import StopTraining
from multiDGD import MultiDGD
from multiDGD.train._launch import launch

# Processes, and cells in the minibatch of each.
VARIANTS = ((1, 128), (2, 128), (2, 64))
# MiB of an all-reduce: the gradients of this decoder, and of one of 129,000 features.
SIZES = (3.4, 52.0)
N_REPEATS = 3


class SecondEpoch(Callback):
    """Write the seconds of the steps of the second epoch in each process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def on_train_epoch_start(self, trainer: Any, plan: Any) -> None:
        self._start = Seconds.now()

    def on_validation_start(self, trainer: Any, plan: Any) -> None:
        if trainer.current_epoch == 1:
            seconds = Seconds.now().since(self._start)
            n_bytes = sum(p.numel() * 4 for p in plan.module.parameters())
            n_bytes -= plan.module.representations.z.numel() * 4
            found = {**seconds._asdict(), "gradient_mib": n_bytes / 2**20}
            (self._folder / f"{trainer.global_rank}.json").write_text(json.dumps(found))
            raise StopTraining


def epoch(data: mudata.MuData, n_processes: int, batch_size: int) -> list[dict[str, float]]:
    """Seconds of one epoch in each process."""
    model = MultiDGD(data, n_components=N_COMPONENTS)
    with tempfile.TemporaryDirectory() as name, suppress(StopTraining):
        callback = SecondEpoch(Path(name))
        try:
            model.train(
                max_epochs=3,
                start="zero",
                train_size=0.9,
                batch_size=batch_size,
                accelerator="cpu",
                devices=n_processes,
                strategy="fork" if n_processes > 1 else "auto",
                callbacks=[callback],
                **QUIET,
            )
        finally:
            found = [json.loads(path.read_text()) for path in Path(name).glob("*.json")]
    return found


def all_reduce(_: Any) -> list[float]:
    """Wall seconds of an all-reduce of each size, in one of two processes; the best of 20."""
    rank = int(os.environ["LOCAL_RANK"])
    dist.init_process_group("gloo", rank=rank, world_size=2)
    found = []
    for size in SIZES:
        values = torch.zeros(int(size * 2**20 / 4))
        seconds = []
        for _ in range(20):
            dist.barrier()
            start = time.perf_counter()
            dist.all_reduce(values)
            seconds.append(time.perf_counter() - start)
        found.append(min(seconds))
    dist.destroy_process_group()
    return found


def measure(path: Path) -> list[dict[str, Any]]:
    """A row for each variant: medians over the repeats."""
    data = mudata.read_zarr(path)
    MultiDGD.setup_mudata(data, batch_key="batch")
    runs: dict[tuple[int, int], list[dict[str, float]]] = {variant: [] for variant in VARIANTS}
    epoch(data, 1, 128)  # compiles the kernels
    for _ in range(N_REPEATS):
        for variant, found in runs.items():
            parts = epoch(data, *variant)
            assert len(parts) == variant[0]
            found.append({name: max(part[name] for part in parts) for name in parts[0]})
    seconds = launch(all_reduce, 0, 2, "fork")
    return [
        {
            "n_cells": data.n_obs,
            "n_processes": n_processes,
            "batch_size": batch_size,
            "n_repeats": N_REPEATS,
            "load": os.getloadavg()[0],
            "n_cores": os.cpu_count(),
            **{name: float(np.median([run[name] for run in found])) for name in found[0]},
            "all_reduce": dict(zip(map(str, SIZES), seconds, strict=True)),
        }
        for (n_processes, batch_size), found in runs.items()
    ]


def main() -> None:
    """Parse the command line and print the result."""
    hide_messages()
    scvi.settings.seed = 0
    torch.set_num_threads(1)
    print(json.dumps(measure(Path(sys.argv[1]))))


if __name__ == "__main__":
    main()
