"""Latent space of a Deep Generative Decoder: representations and their Gaussian mixture prior.

Every class is plain PyTorch and can be used on its own, in any model. All log densities are in
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
