"""Clocks, alternation and the rows of the speed table."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch


class Seconds(NamedTuple):
    """Elapsed time, and the processor time that this process had of it."""

    wall: float
    cpu: float

    @classmethod
    def now(cls) -> Seconds:
        """Both clocks, when all that was asked of the device is done."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return cls(time.perf_counter(), time.process_time())

    def since(self, start: Seconds) -> Seconds:
        """What passed since ``start``."""
        return Seconds(self.wall - start.wall, self.cpu - start.cpu)

    def times(self, factor: float) -> Seconds:
        """Both, multiplied."""
        return Seconds(self.wall * factor, self.cpu * factor)


def timed(function: Callable[[], Any], n: int = 1) -> Seconds:
    """Seconds of one of ``n`` calls."""
    start = Seconds.now()
    for _ in range(n):
        function()
    return Seconds.now().since(start).times(1 / n)


def alternate(
    contestants: Mapping[str, Callable[[], Seconds]], repeats: int
) -> dict[str, list[Seconds]]:
    """Run all contestants in turn, ``repeats`` times over, after one round that is not counted.

    What else the machine does then meets all of them alike.
    """
    found: dict[str, list[Seconds]] = {name: [] for name in contestants}
    for repeat in range(repeats + 1):
        for name, run in contestants.items():
            seconds = run()
            if repeat:
                found[name].append(seconds)
    return found


@dataclass
class Row:
    """One line of the table: what ours took, what the other took, and what was asked for.

    ``ours`` and ``other`` hold ``(wall, cpu)`` of every repeat, of which medians are compared;
    ``paired`` says that repeat i of both was taken side by side. ``bound`` is the least
    ``other / ours``, or with ``at_most`` the largest ``ours / other``. ``load`` is the machine's
    when the row was done: what is above the threads is other people's work.
    """

    case: str
    work: str
    against: str
    ours: list[Seconds]
    other: list[Seconds]
    bound: float | None = None
    at_most: bool = False
    unit: str = "s"
    paired: bool = True
    note: str = ""
    machine: str = field(default_factory=lambda: machine())
    load: float = field(default_factory=lambda: round(os.getloadavg()[0], 1))

    def _ratio(self, ours: float, other: float) -> float:
        top, bottom = (ours, other) if self.at_most else (other, ours)
        return top / bottom if bottom else float("nan")

    def medians(self, clock: int) -> tuple[float, float]:
        """Median of ours and of the other; clock 0 is wall, 1 is processor time."""
        return median(s[clock] for s in self.ours), median(s[clock] for s in self.other)

    def ratio(self, clock: int) -> float:
        """Ratio of the medians."""
        return self._ratio(*self.medians(clock))

    def spread(self, clock: int) -> tuple[float, float]:
        """Least and largest ratio, of pairs where they were taken side by side."""
        pairs = (
            zip(self.ours, self.other, strict=True)
            if self.paired
            else ((a, b) for a in self.ours for b in self.other)
        )
        ratios = [self._ratio(a[clock], b[clock]) for a, b in pairs]
        return min(ratios), max(ratios)

    def cells(self) -> list[str]:
        """The line as text."""
        is_time = self.unit != "MiB"
        bound = "-" if self.bound is None else f"{'≤' if self.at_most else '≥'} {self.bound:g}"
        low, high = self.spread(0)
        cpu = "-"
        if is_time:
            cpu_low, cpu_high = self.spread(1)
            cpu = f"{self.ratio(1):.2f} ({cpu_low:.2f}-{cpu_high:.2f})"
        per_side = [
            f"{w:.4g} ({c:.4g}) {self.unit}" if is_time else f"{w:.0f} {self.unit}"
            for w, c in zip(self.medians(0), self.medians(1), strict=True)
        ]
        wall = f"{self.ratio(0):.2f} ({low:.2f}-{high:.2f})"
        return [self.case, self.work, self.against, *per_side, wall, cpu, bound, self.note]

    def as_json(self) -> dict[str, Any]:
        """Everything that makes the line, and what follows from it."""
        clocks = (0,) if self.unit == "MiB" else (0, 1)
        ratios = {("wall", "cpu")[c]: (self.ratio(c), *self.spread(c)) for c in clocks}
        return {**vars(self), "ratio_min_max": ratios}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Row:
        """The inverse of :meth:`as_json`."""
        kept = {k: v for k, v in values.items() if k != "ratio_min_max"}
        for side in ("ours", "other"):
            kept[side] = [Seconds(*s) for s in kept[side]]
        return cls(**kept)


def device() -> torch.device:
    """Where models train by default: on a CUDA device if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


HEAD = ["case", "work", "against", "ours", "other", "ratio, wall", "ratio, cpu", "asked", "note"]


def table(rows: list[Row]) -> str:
    """The rows as Markdown; times are wall (processor)."""
    lines = [HEAD, ["---"] * len(HEAD), *(row.cells() for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def machine() -> str:
    """CUDA device if there is one, processor, cores, torch and its threads, in one line."""
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
