"""Trained modules with surrogate likelihoods, which have no local optima of their own."""

from __future__ import annotations

from torch import nn

from ._module import MultiDGDModule
from ._shallow_copy import shallow_copy


def surrogate_module(module: MultiDGDModule) -> MultiDGDModule:
    """Replace each likelihood by its :meth:`surrogate <multiDGD.nn.Likelihood.surrogate>`.

    Parameters
    ----------
    module
        A trained module. The result shares all its other parts.

    Returns
    -------
    The given module itself if its likelihoods are their own surrogates.
    """
    likelihoods = [module.likelihood(m) for m in module.modalities]
    surrogates = [likelihood.surrogate() for likelihood in likelihoods]
    if all(a is b for a, b in zip(likelihoods, surrogates, strict=True)):
        return module
    copied = shallow_copy(module)
    copied.likelihoods = nn.ModuleList(surrogates)
    return copied
