"""Latent space and decoder put together."""

from ._categories import add_categories
from ._module import MultiDGDModule
from ._restricted import Restriction
from ._unimodal import unimodal

__all__ = ["MultiDGDModule", "Restriction", "add_categories", "unimodal"]
