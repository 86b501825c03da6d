"""Latent space and decoder put together."""

from ._module import MultiDGDModule

__all__ = ["MultiDGDModule"]
