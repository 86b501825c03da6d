"""Decoder and likelihoods in plain PyTorch."""

from ._counts import Counts
from ._decoder import Decoder, Head, mlp
from ._workspace import Workspace
from .likelihoods import (
    Bernoulli,
    Exponential,
    Likelihood,
    MeanFunction,
    NegativeBinomial,
    Poisson,
    Protein,
    Softmax,
    get_likelihood,
    likelihood_names,
)

__all__ = [
    "Bernoulli",
    "Counts",
    "Decoder",
    "Exponential",
    "Head",
    "Likelihood",
    "MeanFunction",
    "NegativeBinomial",
    "Poisson",
    "Protein",
    "Softmax",
    "Workspace",
    "get_likelihood",
    "likelihood_names",
    "mlp",
]
