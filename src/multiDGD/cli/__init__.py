"""The command line: ``multidgd demo``, ``fit``, ``embed``, ``impute``, ``de`` and ``info``."""

from ._main import main

__all__ = ["main"]
