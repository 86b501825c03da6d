"""Latent space of a Deep Generative Decoder: representations and the mixture they come from.

Plain PyTorch: every class here is usable on its own, in any model. All log densities are in
nats.
"""

from multiDGD.latent._mixture import GaussianMixture
from multiDGD.latent._priors import GaussianPrior, SoftballPrior
from multiDGD.latent._representation import RepresentationLayer
from multiDGD.latent._supervised import GaussianMixtureSupervised

__all__ = [
    "GaussianMixture",
    "GaussianMixtureSupervised",
    "GaussianPrior",
    "RepresentationLayer",
    "SoftballPrior",
]
