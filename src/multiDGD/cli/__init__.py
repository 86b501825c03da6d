"""The command line: ``multidgd demo`` and ``multidgd fit``."""

from ._main import main

__all__ = ["main"]
