"""Time, memory, disk and network of training on many cells and GPUs, from stored measurements."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from benchmarks.scale.reading import BATCH_SIZE
from benchmarks.scale.simulate import N_FEATURES
from benchmarks.shared.results import ROOT, rows

SCALE = ROOT / "benchmarks" / "scale" / "results"
GPU = ROOT / "benchmarks" / "speed" / "results" / "speed_gpu.json"

#: Features of the H100 rows, and the minibatches by which a row's seconds are divided.
GPU_STEPS = {
    "epoch-snareseq float32": (27_411, 73),
    "step-vs-matmul snareseq_mouse_cortex": (27_411, 1),
    "epoch-wide float32": (129_000, 22),
    "step-vs-matmul wide": (129_000, 1),
    "scaling": (1_500, 1_000 / BATCH_SIZE),
}
#: Modalities of the two kinds of data; their sizes are those of the simulated cells.
DATA = {"RNA": ("rna",), "multiome": ("rna", "atac")}
#: Passes of the spectral start over the counts.
PASSES = {"rna": 5, "atac": 20}
#: Default hidden units, and representation of a cell with one covariate.
N_UNITS, N_REPRESENTATION = 100, 22
N_EPOCHS, MIN_STEPS = 15, 1_500
GPUS_PER_HOST = 8


class Constant(NamedTuple):
    """A number of the model, and where it comes from."""

    value: float
    unit: str
    is_measured: bool
    source: str


@dataclass(frozen=True)
class Cost:
    """Cost of one training.

    Attributes
    ----------
    start, compute, read, reduce
        Seconds of the spectral start, of the training steps, of reading their counts, and of
        reducing their gradients.
    gpu, host
        Bytes on each GPU, and in the host of the first eight.
    disk
        Bytes of the counts on disk.
    network
        Bytes that each GPU sends in one epoch.
    """

    start: float
    compute: float
    read: float
    reduce: float
    gpu: float
    host: float
    disk: float
    network: float

    @property
    def seconds(self) -> float:
        """Seconds of the whole training."""
        return self.start + self.compute + self.read + self.reduce


def constants() -> dict[str, Constant]:
    """All constants by name."""
    step, per_feature = np.polynomial.polynomial.polyfit(*zip(*gpu_steps(), strict=True), 1)
    read = max(rows(SCALE / "reading.json"), key=lambda row: "seconds" in row and row["n_cells"])
    runs = [row for row in rows(SCALE / "training.json") if row["place"] == "disk"]
    small, large = min(runs, key=_n_cells), max(runs, key=_n_cells)
    nonzeros = {m: n / read["n_cells"] for m, n in read["n_nonzeros"].items()}
    passes = sum(PASSES[m] * n for m, n in nonzeros.items())
    per_cell, per_cell_start = (
        (peak(large) - peak(small)) * 2**20 / (_n_cells(large) - _n_cells(small))
        for peak in (_peak, _peak_of_start)
    )
    trained = max((row for row in runs if "epoch" in row["phases"]), key=_n_cells)
    epoch = trained["phases"]["epoch"]["cpu"] / trained["n_train"]
    training, reading = "scale.md, training", "scale.md, reading"
    h100 = "speed_gpu.md, least squares over five rows"
    found = {
        "step": Constant(1e3 * step, "ms per step of 128 cells on an H100", True, h100),
        "per_feature": Constant(1e9 * per_feature, "ns per step and feature", True, h100),
        "cpu": Constant(1e6 * epoch, "µs per cell of an epoch on one CPU thread", True, training),
        "read": Constant(
            sum(read["n_nonzeros"].values()) / read["seconds"]["cpu"] / 1e6,
            "million non-zeros per second, read by one thread",
            True,
            reading,
        ),
        "start": Constant(
            passes * _n_cells(large) / large["phases"]["start"]["cpu"] / 1e6,
            "million non-zeros per second and pass of the start, one thread",
            True,
            training,
        ),
        "memory": Constant(per_cell, "bytes of host memory per cell and process", True, training),
        "start memory": Constant(
            per_cell_start, "bytes of host memory per cell in the start", True, training
        ),
        "base": Constant(_peak(small), "MiB of a process in addition", True, training),
        **{
            f"{m} non-zeros": Constant(n, f"non-zeros of {m} per cell", True, reading)
            for m, n in nonzeros.items()
        },
        **{
            f"{m} bytes": Constant(
                b / read["n_cells"], f"bytes of {m} per cell on disk", True, reading
            )
            for m, b in read["bytes"].items()
        },
        "nvlink": Constant(450, "GB/s from a GPU to others of its host", False, "data sheet"),
        "infiniband": Constant(50, "GB/s from a GPU to other hosts", False, "one 400 Gb/s port"),
        "latency": Constant(
            20, "µs for each of log2(GPUs) steps of a reduction", False, "no source"
        ),
    }
    return found


def gpu_steps() -> list[tuple[float, float]]:
    """Features and seconds of the training steps that were measured on an H100."""
    by_case = {row["case"]: row["ours"] for row in rows(GPU)}
    return [
        (features, median(wall for wall, _ in by_case[case]) / n_steps)
        for case, (features, n_steps) in GPU_STEPS.items()
    ]


def cost(known: dict[str, Constant], data: str, n_cells: float, n_gpus: int) -> Cost:
    """Cost of a training with its counts on disk and a minibatch of 128 cells on each GPU.

    Parameters
    ----------
    known
        Result of :func:`constants`.
    data
        Key of `DATA`.
    n_cells
        Number of cells.
    n_gpus
        Number of GPUs.
    """
    value = {name: constant.value for name, constant in known.items()}
    n_features = sum(N_FEATURES[m] for m in DATA[data])
    nonzeros = sum(value[f"{m} non-zeros"] for m in DATA[data])
    passes = sum(PASSES[m] * value[f"{m} non-zeros"] for m in DATA[data])
    parameters = n_features * (N_UNITS + 2) + N_UNITS * (N_REPRESENTATION + 1)
    steps_of_epoch = math.ceil(n_cells / (BATCH_SIZE * n_gpus))
    n_steps = max(N_EPOCHS * steps_of_epoch, MIN_STEPS)
    sent = 2 * (n_gpus - 1) / n_gpus * 4 * parameters
    bandwidth = value["nvlink" if n_gpus <= GPUS_PER_HOST else "infiniband"]
    reduce = sent / (1e9 * bandwidth) + 1e-6 * value["latency"] * 2 * math.log2(n_gpus)
    n_processes = min(n_gpus, GPUS_PER_HOST)
    others = n_processes * (2**20 * value["base"] + value["memory"] * n_cells)
    start = (value["start memory"] - value["memory"]) * n_cells
    table = 3 * 4 * N_REPRESENTATION * n_cells / n_gpus
    return Cost(
        start=n_cells * passes / (1e6 * value["start"]),
        compute=n_steps * (1e-3 * value["step"] + 1e-9 * value["per_feature"] * n_features),
        read=n_steps * BATCH_SIZE * nonzeros / (1e6 * value["read"]),
        reduce=n_steps * reduce,
        # Parameters, gradients, two moments; means, logits and their gradients of a minibatch.
        gpu=16 * parameters + table + 4 * 4 * BATCH_SIZE * n_features,
        host=others + max(start, 0),
        disk=n_cells * sum(value[f"{m} bytes"] for m in DATA[data]),
        network=steps_of_epoch * sent,
    )


def _n_cells(row: dict[str, Any]) -> int:
    return int(row["n_cells"])


def _peak(row: dict[str, Any]) -> float:
    """Peak memory of all phases of a run but the start (MiB)."""
    return float(max(found["mib"] for name, found in row["phases"].items() if name != "start"))


def _peak_of_start(row: dict[str, Any]) -> float:
    """Peak memory of the start (MiB)."""
    return float(row["phases"]["start"]["mib"])
