"""Results files: JSON that names the command by which it was written."""

from __future__ import annotations

import json
import platform
import shlex
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


def rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a results file; none if the file does not exist."""
    return json.loads(path.read_text())["rows"] if path.exists() else []
