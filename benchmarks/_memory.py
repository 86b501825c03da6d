"""Peak memory of a training above that of the data, in a process of its own.

``python benchmarks/_memory.py DATA.npz multidgd 10 1`` prints MiB before and at the peak of 10
training steps on 1 thread. The peak is the kernel's, reset once the data and the libraries are
in memory, so nothing that is held for a moment escapes it.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

#: Name -> (builder of :mod:`_steps`, arguments of ``train``).
CONTESTANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "multidgd": ("multidgd", {}),
    "multidgd-no-warm-start": ("multidgd", {"start": "zero"}),
    "multivi": ("multivi", {}),
}


def _status(key: str) -> float:
    """A line of /proc/self/status, in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) / 1024
    raise KeyError(key)


def _reset_peak() -> bool:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _peak(is_reset: bool) -> float:
    if is_reset:
        return _status("VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(path: Path, contestant: str, n_steps: int, threads: int) -> dict[str, float]:
    """MiB before and at the peak of building a model and training it; what a child runs."""
    import torch
    from _simulated import read
    from _steps import Enough, multidgd, multivi, train
    from lightning.pytorch import Callback

    class Stop(Callback):
        def on_train_batch_end(
            self, trainer: Any, plan: Any, outputs: Any, batch: Any, batch_idx: int
        ) -> None:
            if batch_idx + 1 >= n_steps:
                raise Enough

    torch.set_num_threads(threads)
    builder, kwargs = CONTESTANTS[contestant]
    data = read(path)
    before = _status("VmRSS")
    is_reset = _reset_peak()
    model = {"multidgd": multidgd, "multivi": multivi}[builder](data)
    train(model, Stop(), **kwargs)
    return {"before": before, "peak": _peak(is_reset)}


def above_data(path: Path, contestant: str, n_steps: int, threads: int) -> float:
    """MiB of the peak above the data, in a fresh process."""
    command = [sys.executable, "-W", "ignore", __file__, str(path), contestant]
    done = subprocess.run(
        [*command, str(n_steps), str(threads)], check=True, stdout=subprocess.PIPE, text=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    return found["peak"] - found["before"]


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:5]))))
