"""What `speed.py` keeps of its rows: JSON, a Markdown page, and the machine in the README."""

from __future__ import annotations

import json
from pathlib import Path

from _timing import Row, table

TAKEN_ON = "<!-- speed.py writes the paragraph below -->"


def write(path: Path, new: list[Row], order: list[str]) -> list[Row]:
    """Add rows to the file, in place of earlier ones of the same name; returns all, by ``order``."""
    old = json.loads(path.read_text()) if path.exists() else []
    kept = {row["case"]: Row.from_json(row) for row in old} | {row.case: row for row in new}
    rows = sorted(kept.values(), key=lambda row: order.index(row.case.split()[0]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([row.as_json() for row in rows], indent=1) + "\n")
    return rows


def page(rows: list[Row], stem: str) -> str:
    """The table as a Markdown file, and where its rows were taken."""
    title = "Speed on a GPU" if stem.endswith("gpu") else "Speed"
    return (
        f"# {title}\n\nWritten by `python benchmarks/speed.py --out benchmarks/results/{stem}.json`; "
        "README.md explains the\nrows. Medians, wall time first and processor time in brackets; "
        "ratios with the least and largest\nof the repeats.\n\n"
        f"{table(rows)}\n\n## Taken on\n\n{taken_on(rows)}\n"
    )


def taken_on(rows: list[Row]) -> str:
    """A line for each machine, with its rows and the load while they were taken."""
    lines = []
    for machine in dict.fromkeys(row.machine for row in rows):
        mine = [row for row in rows if row.machine == machine]
        loads = [row.load for row in mine]
        cases = ", ".join(dict.fromkeys(row.case.split()[0] for row in mine))
        lines.append(f"- {machine}; load {min(loads):g} to {max(loads):g}: {cases}")
    return "\n".join(lines)


def write_pages(out: Path, rows: list[Row]) -> None:
    """The table beside the folder of ``out``, and the machine in the README there."""
    out.parent.with_name(f"{out.stem}.md").write_text(page(rows, out.stem))
    readme = out.parent.with_name("README.md")
    if readme.exists() and out.stem == "speed":
        head, marker, tail = readme.read_text().partition(TAKEN_ON)
        if marker:
            _, _, after = tail.split("\n\n", 2)
            readme.write_text(f"{head}{marker}\n\n{taken_on(rows)}\n\n{after}")
