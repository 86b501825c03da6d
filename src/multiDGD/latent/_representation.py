"""Table of representations: one learnable vector per cell."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from multiDGD._checks import choice, finite, positive_int
from multiDGD.latent import _checks


class RepresentationLayer(nn.Module):
    """One learnable vector per sample, in place of an encoder.

    Gradients accumulate in ``z`` as in any parameter, so any PyTorch optimiser can update it,
    after each minibatch or once per epoch.

    Parameters
    ----------
    n_rep
        Dimension of the representation space.
    n_sample
        Number of samples in the data set.
    value_init
        Initial representations: ``'zero'`` for the origin, a number for all values, or a tensor,
        ``nn.Parameter`` or array of shape (n_sample, n_rep). Values are copied, so training
        never changes the argument.

    Attributes
    ----------
    n_rep : int
        Dimension of the representation space.
    n_sample : int
        Number of samples.
    z : torch.nn.Parameter
        Representations, shape (n_sample, n_rep).

    Raises
    ------
    ValueError
        If ``n_rep`` or ``n_sample`` is not a positive integer, or ``value_init`` is an unknown
        string, has a shape other than (n_sample, n_rep), or contains NaN or infinity.

    Examples
    --------
    >>> import torch
    >>> from multiDGD.latent import RepresentationLayer
    >>> layer = RepresentationLayer(n_rep=2, n_sample=100)
    >>> layer([5, 7]).shape
    torch.Size([2, 2])
    >>> RepresentationLayer(2, 3, value_init=torch.randn(3, 2)).z.requires_grad
    True
    """

    z: nn.Parameter

    def __init__(
        self, n_rep: int, n_sample: int, value_init: str | float | Tensor | Any = "zero"
    ) -> None:
        super().__init__()
        self.n_rep = positive_int("n_rep", n_rep)
        self.n_sample = positive_int("n_sample", n_sample)
        shape = (self.n_sample, self.n_rep)
        if isinstance(value_init, str):
            choice("value_init", value_init, ("zero",))
            # Pages of numpy's zeros take no memory before they are written.
            z_nl = torch.from_numpy(np.zeros(shape, dtype=torch.empty(0).numpy().dtype))
        elif isinstance(value_init, Real):
            z_nl = torch.full(shape, finite("value_init", value_init))
        else:
            template = _template(value_init)
            z_nl = _checks.values_like("value_init", value_init, template, shape).clone()
        self.z = nn.Parameter(z_nl)

    def forward(self, idx: Tensor | Sequence[int] | slice | Any | None = None) -> Tensor:
        """Return the representations of the given samples, or of all.

        Parameters
        ----------
        idx
            Samples to return: integers or booleans in a list, array or tensor, a slice, or
            ``None`` for all.

        Returns
        -------
        Representations, shape (n_idx, n_rep); ``z`` itself if ``idx`` is ``None``.

        Raises
        ------
        ValueError
            If ``idx`` is neither integer nor boolean.
        IndexError
            If ``idx`` exceeds the number of samples.
        """
        if idx is None:
            return self.z
        if isinstance(idx, slice):
            return self.z[idx]
        index = _checks.as_tensor(idx).to(self.z.device)
        if index.numel() == 0:
            index = index.long()
        if index.is_floating_point() or index.is_complex():
            raise ValueError(
                f"`idx` must hold integers or booleans, found {index.dtype}; "
                "pass the positions of the samples."
            )
        return self.z[index]

    def extra_repr(self) -> str:
        """Arguments shown by ``print(module)``."""
        return f"n_rep={self.n_rep}, n_sample={self.n_sample}"


def _template(value: Any) -> Tensor:
    """Return an empty tensor with the dtype and device of representations made from ``value``."""
    if isinstance(value, Tensor):
        # Integers cannot have gradients; float64 is a deliberate choice of the caller.
        dtype = value.dtype if value.is_floating_point() else torch.get_default_dtype()
        return torch.empty(0, dtype=dtype, device=value.device)
    return torch.empty(0)
