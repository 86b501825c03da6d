"""Plots of what a model learned."""

from ._history import history

__all__ = ["history"]
