"""Draws from the gamma distribution."""

from __future__ import annotations

import torch
from torch import Tensor


def sample_gamma(shape_nf: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Draw gamma variables with a rate of 1, shape ``(n, f)``.

    Parameters
    ----------
    shape_nf
        Shape parameters, above 0.
    generator
        Random generator on the device of the parameters; torch's global one by default.
    """
    # `torch.distributions.Gamma` calls this function too, but accepts no generator.
    return torch._standard_gamma(shape_nf, generator=generator)
