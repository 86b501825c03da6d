"""Results files: JSON that names the command by which it was written."""

from __future__ import annotations

import json
import platform
import shlex
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("scvi-tools", "torch", "numpy", "scikit-learn")


def command(page: str, *positional: str, **options: Any) -> str:
    """Command line of a benchmark; options that are None, False or empty are omitted."""
    words = ["python", "-m", f"benchmarks.{page}", *positional]
    for name, value in options.items():
        values = list(value) if isinstance(value, list | tuple) else [value]
        if values in ([], [None]) or value is False:
            continue
        words.append("--" + name.replace("_", "-"))
        words += [] if value is True else map(_word, values)
    return shlex.join(words)


def _word(value: Any) -> str:
    if isinstance(value, Path):
        path = value.resolve()
        return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)
    return str(value)


def environment(threads: int, *packages: str) -> dict[str, Any]:
    """Threads, device and versions of packages: the usual and the given ones."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor()
    return {
        "threads": threads,
        "device": device or platform.machine(),
        "versions": {package: version(package) for package in (*PACKAGES, *packages)},
    }


def write(path: Path, command: str, content: dict[str, Any]) -> None:
    """Write a results file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"command": command, **content}, indent=1) + "\n")


def add(path: Path, page: str, name: str, new: dict[str, Any], methods: Sequence[str]) -> None:
    """Add a row to the results file of a data set, in place of one of the same method and seed.

    Parameters
    ----------
    path
        Results file.
    page, name
        Page and data set, for the command line.
    new
        Row with a ``"method"`` and a ``"seed"``.
    methods
        Names of the page's methods, in the order of the file.
    """
    key = new["method"], new["seed"]
    # Another process may have added rows since the run began.
    kept = [row for row in rows(path) if (row["method"], row["seed"]) != key]
    found = sorted([*kept, new], key=lambda row: (methods.index(row["method"]), row["seed"]))
    line = command(page, name, seeds=sorted({row["seed"] for row in found}))
    write(path, line, {"rows": found})


def is_done(path: Path, method: str, seed: int, max_epochs: int | None) -> bool:
    """Whether the results file has the row of a run."""
    run = method, seed, max_epochs
    return any((row["method"], row["seed"], row["max_epochs"]) == run for row in rows(path))


def rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a results file; none if the file does not exist."""
    return json.loads(path.read_text())["rows"] if path.exists() else []
