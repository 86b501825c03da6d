"""Methods in the other environment, each run in a new process."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from benchmarks.shared.timing import Seconds

SCRIPT = Path(__file__).with_name("other_environment.py")


class Task(Protocol):
    """Properties of a task that a run in the other environment needs."""

    @property
    def seed(self) -> int: ...

    @property
    def max_epochs(self) -> int | None: ...

    @property
    def python_other(self) -> Path | None: ...

    @property
    def threads(self) -> int: ...


@dataclass(frozen=True)
class Output:
    """Output of ``other_environment.py``: arrays by name, and properties of the run."""

    arrays: dict[str, np.ndarray]
    seconds: Seconds
    epochs: int | None
    versions: dict[str, str]


def run_in_other_environment(method: str, task: Task, folder: Path) -> Output:
    """Run a method on the files of a folder.

    Raises
    ------
    ValueError
        If the task has no interpreter of the other environment.
    RuntimeError
        If the process fails; the message has the end of its output.
    """
    if task.python_other is None:
        raise ValueError(
            f"{method} needs an interpreter with its package: give `--python-other PATH`."
        )
    words = [task.python_other, SCRIPT, method, folder, "--seed", task.seed]
    words += ["--threads", task.threads]
    words += [] if task.max_epochs is None else ["--max-epochs", task.max_epochs]
    # The modules of this environment must not be visible in the other one.
    variables = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        variables[name] = str(task.threads)
    ended = subprocess.run(
        list(map(str, words)), env=variables, cwd=folder, capture_output=True, text=True
    )
    if ended.returncode != 0:
        tail = "\n".join(ended.stderr.splitlines()[-20:])
        raise RuntimeError(f"{method} failed in {task.python_other}:\n{tail}")
    properties = json.loads((folder / "properties.json").read_text())
    with np.load(folder / "output.npz") as stored:
        seconds = Seconds(*properties.pop("seconds"))
        return Output(dict(stored), seconds, **properties)
