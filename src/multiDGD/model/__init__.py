"""The model that users hold."""

from ._model import MultiDGD

__all__ = ["MultiDGD"]
