"""Profile of a training step by operation.

``python -m benchmarks.speed.profile_step --data wide --precision bf16-mixed``
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback
from torch.profiler import ProfilerActivity, profile

from benchmarks.shared.data import DATASETS, load
from benchmarks.shared.simulated import read, wide
from benchmarks.shared.training_steps import StopTraining, multidgd, train


class StepProfiler(Callback):
    """Profiles ``n_steps`` training steps after ``n_warmup`` others, then stops training."""

    def __init__(self, n_warmup: int, n_steps: int) -> None:
        self.n_warmup, self.n_steps = n_warmup, n_steps
        activities = [ProfilerActivity.CPU]
        if torch.cuda.is_available():
            activities.append(ProfilerActivity.CUDA)
        self.profiler = profile(activities=activities)

    def on_train_batch_end(
        self, trainer: Any, plan: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx + 1 == self.n_warmup:
            self.profiler.start()
        elif batch_idx + 1 == self.n_warmup + self.n_steps:
            self.profiler.stop()
            raise StopTraining


def main() -> None:
    """Print the table of operations of some training steps."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed.profile_step",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", default="wide", choices=["wide", *DATASETS])
    parser.add_argument("--precision", default="32-true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rows", type=int, default=25, help="rows of the table")
    parser.add_argument("--cache", type=Path, default=Path(".cache"), help="simulated data")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    data = read(wide(options.cache)) if options.data == "wide" else load(options.data)
    profiler = StepProfiler(3, options.steps)
    train(multidgd(data), profiler, precision=options.precision)
    clock = "device" if torch.cuda.is_available() else "cpu"
    table = profiler.profiler.key_averages().table(
        sort_by=f"self_{clock}_time_total", row_limit=options.rows, max_name_column_width=50
    )
    print(table)


if __name__ == "__main__":
    main()
