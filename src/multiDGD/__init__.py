"""The multi-omics Deep Generative Decoder for single cells."""

from importlib.metadata import PackageNotFoundError, version

from . import datasets, init, latent, nn, pl
from .model import MultiDGD

try:
    __version__ = version("multidgd")
except PackageNotFoundError:  # source tree without an installed package
    __version__ = "0.0.0"

__all__ = ["MultiDGD", "__version__", "datasets", "init", "latent", "nn", "pl"]
