"""Distributions of counts given the decoder's logits, one per file.

Every module of this folder whose name does not start with an underscore is imported. Every
:class:`Likelihood` in it is registered under its ``name``, so a new likelihood needs only a new
file.
"""

import importlib
import pkgutil

from ._base import Likelihood
from ._mean_functions import Exponential, MeanFunction, Softmax
from ._registry import get_likelihood, likelihood_names
from .bernoulli import Bernoulli
from .negative_binomial import NegativeBinomial
from .poisson import Poisson
from .protein import Protein

for _module in pkgutil.iter_modules(__path__):
    if not _module.name.startswith("_"):
        importlib.import_module(f"{__name__}.{_module.name}")

__all__ = [
    "Bernoulli",
    "Exponential",
    "Likelihood",
    "MeanFunction",
    "NegativeBinomial",
    "Poisson",
    "Protein",
    "Softmax",
    "get_likelihood",
    "likelihood_names",
]
