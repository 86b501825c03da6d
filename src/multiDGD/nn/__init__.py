"""Decoder and likelihoods in plain PyTorch."""

from ._counts import Counts
from ._decoder import Decoder, Head, mlp
from .likelihoods import Bernoulli, Likelihood, NegativeBinomial, Poisson, get_likelihood

__all__ = [
    "Bernoulli",
    "Counts",
    "Decoder",
    "Head",
    "Likelihood",
    "NegativeBinomial",
    "Poisson",
    "get_likelihood",
    "mlp",
]
