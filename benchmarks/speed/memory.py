"""Peak memory of training above the memory of the data, in a separate process.

``python -m benchmarks.speed.memory DATA.npz multidgd 10 1`` prints MiB before training and at the
peak of 10 training steps on 1 thread. The kernel records the peak, which is reset after the data
and libraries are loaded, so short-lived allocations count.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.shared.memory import peak, reset_peak, resident

ROOT = Path(__file__).resolve().parents[2]
#: Name -> (builder in ``shared/training_steps.py``, arguments of ``train``).
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "multidgd": ("multidgd", {}),
    "multidgd-no-initialisation": ("multidgd", {"start": "zero"}),
    "multivi": ("multivi", {}),
}


def measure(path: Path, name: str, n_steps: int, threads: int) -> dict[str, float]:
    """Memory (MiB) before, and at the peak of, building and training a model."""
    import torch
    from lightning.pytorch import Callback

    from benchmarks.shared.simulated import read
    from benchmarks.shared.training_steps import StopTraining, multidgd, multivi, train

    class Stop(Callback):
        def on_train_batch_end(
            self, trainer: Any, plan: Any, outputs: Any, batch: Any, batch_idx: int
        ) -> None:
            if batch_idx + 1 >= n_steps:
                raise StopTraining

    torch.set_num_threads(threads)
    builder, kwargs = MODELS[name]
    data = read(path)
    before = resident()
    is_reset = reset_peak()
    model = {"multidgd": multidgd, "multivi": multivi}[builder](data)
    train(model, Stop(), **kwargs)
    return {"before": before, "peak": peak(is_reset)}


def above_data(path: Path, name: str, n_steps: int, threads: int) -> float:
    """Peak memory above the data (MiB), measured in a new process."""
    module = [sys.executable, "-W", "ignore", "-m", "benchmarks.speed.memory"]
    done = subprocess.run(
        [*module, str(path.resolve()), name, str(n_steps), str(threads)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    return found["peak"] - found["before"]


def main() -> None:
    """Parse the command line and print the memory as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed.memory",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("path", type=Path, help="simulated data")
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("steps", type=int)
    parser.add_argument("threads", type=int)
    args = parser.parse_args()
    print(json.dumps(measure(args.path, args.model, args.steps, args.threads)))


if __name__ == "__main__":
    main()
