"""Decoder and likelihoods in plain PyTorch."""

from ._counts import Counts
from ._decoder import Decoder, Head, mlp
from ._workspace import Workspace
from .likelihoods import (
    Bernoulli,
    Likelihood,
    NegativeBinomial,
    Poisson,
    Protein,
    get_likelihood,
    likelihood_names,
)

__all__ = [
    "Bernoulli",
    "Counts",
    "Decoder",
    "Head",
    "Likelihood",
    "NegativeBinomial",
    "Poisson",
    "Protein",
    "Workspace",
    "get_likelihood",
    "likelihood_names",
    "mlp",
]
