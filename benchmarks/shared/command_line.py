"""Command lines of the benchmarks."""

from __future__ import annotations

import argparse


def make_parser(package: str | None, description: str | None) -> argparse.ArgumentParser:
    """Parser of ``python -m PACKAGE`` with the docstring of its module as description."""
    return argparse.ArgumentParser(
        prog=f"python -m {package}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
