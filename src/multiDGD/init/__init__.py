"""Spectral warm start: cell representations and mixture components before the first epoch."""

from ._clusters import choose_n_components, class_start, cluster_start
from ._normalize import NORMALIZATIONS, choose_normalization
from ._spectral import spectral_embedding

__all__ = [
    "NORMALIZATIONS",
    "choose_n_components",
    "choose_normalization",
    "class_start",
    "cluster_start",
    "spectral_embedding",
]
