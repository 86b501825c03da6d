"""Pages: Markdown files with handwritten text and tables computed from results files.

A table stands between ``<!-- table: NAME -->`` and ``<!-- end of table -->``. The ``page.py`` of
each folder has a function ``render`` that returns the text of its pages by path.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

_TABLE = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def fill(page: Path, tables: Mapping[str, str]) -> str:
    """Text of a page in which each table is replaced by the one of its name."""
    text = page.read_text()
    found = [name for _, name, _ in _TABLE.findall(text)]
    if sorted(found) != sorted(tables):
        raise ValueError(f"{page} has the tables {sorted(found)}, expected {sorted(tables)}")
    return _TABLE.sub(lambda match: f"{match[1]}\n{tables[match[2]]}\n\n{match[3]}", text)


def save(pages: Mapping[Path, str]) -> None:
    """Write pages that have changed."""
    for path, text in pages.items():
        if path.read_text() != text:
            path.write_text(text)


def markdown(lines: Sequence[Sequence[str]], n_left: int = 1) -> str:
    """Markdown table of a header and rows; columns after the first ``n_left`` align right."""
    head, *rest = lines
    rule = ["---" if i < n_left else "---:" for i in range(len(head))]
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *rest))


def mean_and_deviation(values: Sequence[float], plus_minus: str = " ± ") -> str:
    """Mean, and the standard deviation if there are several values."""
    if not values:
        return "-"
    spread = f"{plus_minus}{np.std(values):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{spread}"
