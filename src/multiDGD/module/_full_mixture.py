"""Module in which the mixture has its full weight."""

from __future__ import annotations

import torch

from ._module import MultiDGDModule
from ._shallow_copy import shallow_copy


def full_mixture_module(module: MultiDGDModule) -> MultiDGDModule:
    """Return a copy in which the mixture over z has a weight of 1, so that the prior is a density.

    Parameters
    ----------
    module
        The module, left unchanged. The copy shares its parts.
    """
    copied = shallow_copy(module)
    copied.mixture_weight = torch.ones_like(module.mixture_weight)
    return copied
