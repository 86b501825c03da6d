"""Data to try the model on."""

from ._simulate import simulate_multiome, simulate_wide

__all__ = ["simulate_multiome", "simulate_wide"]
