"""The model, which is the user interface of the package."""

from ._model import MultiDGD

__all__ = ["MultiDGD"]
