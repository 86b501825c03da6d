"""Distributions of counts given the decoder's logits, one to a file.

Every module of this folder whose name has no underscore in front is imported and every
:class:`Likelihood` in it is known by its ``name``, so a new likelihood is a new file and nothing else.
"""

import importlib
import pkgutil

from ._base import Likelihood, get_likelihood, likelihood_names
from .bernoulli import Bernoulli
from .negative_binomial import NegativeBinomial
from .poisson import Poisson
from .protein import Protein

for _module in pkgutil.iter_modules(__path__):
    if not _module.name.startswith("_"):
        importlib.import_module(f"{__name__}.{_module.name}")

__all__ = [
    "Bernoulli",
    "Likelihood",
    "NegativeBinomial",
    "Poisson",
    "Protein",
    "get_likelihood",
    "likelihood_names",
]
