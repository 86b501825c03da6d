"""Clocks, alternating repeats, and a description of the machine."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch


class Seconds(NamedTuple):
    """Wall time and processor time of this process (s)."""

    wall: float
    cpu: float

    @classmethod
    def now(cls) -> Seconds:
        """Read both clocks after the device has finished its work."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return cls(time.perf_counter(), time.process_time())

    def since(self, start: Seconds) -> Seconds:
        """Time elapsed since ``start``."""
        return Seconds(self.wall - start.wall, self.cpu - start.cpu)

    def times(self, factor: float) -> Seconds:
        """Multiply both times by a factor."""
        return Seconds(self.wall * factor, self.cpu * factor)


def timed(function: Callable[[], Any], n: int = 1) -> Seconds:
    """Mean time of ``n`` calls."""
    start = Seconds.now()
    for _ in range(n):
        function()
    return Seconds.now().since(start).times(1 / n)


def alternate(
    functions: Mapping[str, Callable[[], Seconds]], repeats: int
) -> dict[str, list[Seconds]]:
    """Time all functions in turn, ``repeats`` times, after one round that is not counted.

    Other load on the machine then affects all of them alike.
    """
    found: dict[str, list[Seconds]] = {name: [] for name in functions}
    for repeat in range(repeats + 1):
        for name, run in functions.items():
            seconds = run()
            if repeat:
                found[name].append(seconds)
    return found


def device() -> torch.device:
    """Default device of training: a CUDA device if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def machine() -> str:
    """CUDA device (if any), processor, cores, version and threads of torch, in one line."""
    model = platform.processor() or platform.machine()
    flags = ""
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = dict(
            (part.strip() for part in line.split(":", 1))
            for line in info.read_text().splitlines()
            if ":" in line
        )
        model = f"{lines.get('model name', model)} (model {lines.get('model', '?')})"
        known = lines.get("flags", "").split()
        flags = " with " + "/".join(
            f for f in ("avx512f", "avx512_bf16", "amx_bf16") if f in known
        )
    accelerator = f"{torch.cuda.get_device_name()}; " if torch.cuda.is_available() else ""
    return (
        f"{accelerator}{model}{flags}, {os.cpu_count()} cores, torch {torch.__version__}, "
        f"{torch.get_num_threads()} thread(s)"
    )
