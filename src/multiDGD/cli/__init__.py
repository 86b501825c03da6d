"""The command line: ``multidgd demo``, ``fit``, ``embed``, ``impute``, ``de``, ``report`` and
``info``.
"""

from ._main import main

__all__ = ["main"]
