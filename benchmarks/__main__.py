"""Write all pages from their results files.

``python -m benchmarks`` writes them; ``python -m benchmarks --check`` lists the pages that differ
from their results and exits with status 1 if there are any. Nothing is measured.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from benchmarks.shared.command_line import make_parser
from benchmarks.shared.pages import save


def render() -> dict[Path, str]:
    """Text of all pages by path."""
    folders = sorted(path.parent.name for path in Path(__file__).parent.glob("*/page.py"))
    pages: dict[Path, str] = {}
    for folder in folders:
        pages |= import_module(f"benchmarks.{folder}.page").render()
    return pages


def main() -> None:
    """Parse the command line and write the pages."""
    parser = make_parser(__package__, __doc__)
    parser.add_argument("--check", action="store_true", help="compare only")
    args = parser.parse_args()
    pages = render()
    if not args.check:
        save(pages)
        return
    outdated = [path for path, text in pages.items() if path.read_text() != text]
    for path in outdated:
        print(f"{path} differs from its results")
    raise SystemExit(bool(outdated))


if __name__ == "__main__":
    main()
