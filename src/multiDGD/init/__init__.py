"""Spectral initialisation of the representations and the mixture components."""

from ._blocks import CountBlocks
from ._mixture import choose_n_components, class_initialisation, cluster_initialisation
from ._normalize import NORMALIZATIONS, choose_normalization
from ._remove_covariates import remove_covariates
from ._spectral import spectral_embedding

__all__ = [
    "NORMALIZATIONS",
    "CountBlocks",
    "choose_n_components",
    "choose_normalization",
    "class_initialisation",
    "cluster_initialisation",
    "remove_covariates",
    "spectral_embedding",
]
