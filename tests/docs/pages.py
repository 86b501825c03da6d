"""Pages of the documentation and their code blocks."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

_FENCE = re.compile(
    r"^(?P<fence>```+)(?P<language>\w+)\n(?P<text>.*?)^(?P=fence)$", re.DOTALL | re.MULTILINE
)


class Block(NamedTuple):
    """A fenced block: its text and the number of lines above it."""

    text: str
    line: int


def pages() -> list[Path]:
    """Handwritten pages, sorted by path."""
    generated = {DOCS / name for name in ("_build", "generated", "benchmarks", "tutorials")}
    return sorted(p for p in DOCS.rglob("*.md") if not generated.intersection(p.parents))


def blocks(page: Path, language: str) -> list[Block]:
    """Fenced blocks of a page in one language."""
    text = page.read_text()
    return [
        Block(found["text"], text.count("\n", 0, found.start("text")))
        for found in _FENCE.finditer(text)
        if found["language"] == language
    ]
