"""The command line: ``multidgd demo``, ``fit``, ``embed``, ``impute``, ``de`` and others."""

from ._main import main

__all__ = ["main"]
