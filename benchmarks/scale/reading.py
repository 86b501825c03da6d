"""Rate at which one thread reads training cells from disk, without training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import zarr

from benchmarks.scale.simulate import N_FEATURES
from benchmarks.shared.timing import Seconds
from multiDGD import MultiDGD
from multiDGD.data import open_zarr
from multiDGD.train import BlockLoader, BlockOrder

#: Defaults of training.
BATCH_SIZE, BLOCK_SIZE, N_BLOCKS = 128, 128, 32


def measure(path: Path, *, is_read: bool) -> dict[str, Any]:
    """Size of a store and, if ``is_read``, time of all minibatches of an epoch."""
    group = zarr.open_group(str(path), mode="r")
    n_nonzeros = {m: int(group[f"mod/{m}/X/data"].shape[0]) for m in N_FEATURES}
    found = {
        "n_cells": int(group["mod/rna/X/indptr"].shape[0]) - 1,
        "n_nonzeros": n_nonzeros,
        "bytes": {m: _bytes(path / "mod" / m) for m in N_FEATURES},
    }
    if is_read:
        mdata = open_zarr(path)
        MultiDGD.setup_mudata(mdata, batch_key="batch")
        manager = MultiDGD._get_most_recent_anndata_manager(mdata, required=True)
        dataset = manager.create_torch_dataset()
        order = BlockOrder(len(dataset), 0, lambda: 0, BLOCK_SIZE, N_BLOCKS)
        start = Seconds.now()
        for _ in BlockLoader(dataset, order, BATCH_SIZE):
            pass
        seconds = Seconds.now().since(start)
        found["seconds"] = {"wall": seconds.wall, "cpu": seconds.cpu}
    return found


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
