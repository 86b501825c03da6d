"""Rows of the speed table."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from benchmarks.shared.pages import markdown
from benchmarks.shared.timing import Seconds, machine

HEAD = ["case", "work", "against", "ours", "other", "ratio, wall", "ratio, cpu", "target", "note"]


@dataclass
class Row:
    """One row of the table: times of MultiDGD and of its reference, and the target ratio.

    ``ours`` and ``other`` hold ``(wall, cpu)`` of each repeat; their medians are compared.
    ``paired`` means that the two sides of a repeat were taken in turn. ``target`` is the smallest
    ``other / ours``, or with ``at_most`` the largest ``ours / other``. ``load`` is the load
    average of the machine at the end of the row; an excess over the number of threads is due to
    other processes.
    """

    case: str
    work: str
    against: str
    ours: list[Seconds]
    other: list[Seconds]
    target: float | None = None
    at_most: bool = False
    unit: str = "s"
    paired: bool = True
    note: str = ""
    machine: str = field(default_factory=lambda: machine())
    load: float = field(default_factory=lambda: round(os.getloadavg()[0], 1))

    @property
    def name(self) -> str:
        """Name of the case on the command line."""
        return self.case.split()[0]

    def _ratio(self, ours: float, other: float) -> float:
        top, bottom = (ours, other) if self.at_most else (other, ours)
        return top / bottom if bottom else float("nan")

    def medians(self, clock: int) -> tuple[float, float]:
        """Medians of both sides; clock 0 is wall time, clock 1 is processor time."""
        return median(s[clock] for s in self.ours), median(s[clock] for s in self.other)

    def ratio(self, clock: int) -> float:
        """Ratio of the medians."""
        return self._ratio(*self.medians(clock))

    def spread(self, clock: int) -> tuple[float, float]:
        """Smallest and largest ratio: of repeats if they are paired, else of all combinations."""
        pairs = (
            zip(self.ours, self.other, strict=True)
            if self.paired
            else ((a, b) for a in self.ours for b in self.other)
        )
        ratios = [self._ratio(a[clock], b[clock]) for a, b in pairs]
        return min(ratios), max(ratios)

    def cells(self) -> list[str]:
        """Text of each column."""
        is_time = self.unit != "MiB"
        sign = "≤" if self.at_most else "≥"
        target = "-" if self.target is None else f"{sign} {self.target:g}"
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
        return [self.case, self.work, self.against, *per_side, wall, cpu, target, self.note]

    def as_json(self) -> dict[str, Any]:
        """All fields, and the ratios computed from them."""
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


def table(rows: list[Row]) -> str:
    """Markdown table; times are wall time, with processor time in brackets."""
    return markdown([HEAD, *(row.cells() for row in rows)], n_left=len(HEAD))


def machines(rows: list[Row]) -> str:
    """List of the machines, each with its cases and the load while they were taken."""
    lines = []
    for name in dict.fromkeys(row.machine for row in rows):
        mine = [row for row in rows if row.machine == name]
        loads = [row.load for row in mine]
        cases = ", ".join(dict.fromkeys(row.name for row in mine))
        lines.append(f"- {name}; load {min(loads):g} to {max(loads):g}: {cases}")
    return "\n".join(lines)
