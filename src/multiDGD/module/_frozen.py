"""Objective of cells and its gradient under a frozen module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ._module import MultiDGDModule


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Disable the gradients of a module's parameters, to avoid computing unused ones."""
    trainable = [p for p in module.parameters() if p.requires_grad]
    for parameter in trainable:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)


def frozen_gradient(
    module: MultiDGDModule,
    batch: dict[str, Any],
    representation: Tensor,
    objective: Callable[[dict[str, Any], Tensor], Any] | None = None,
) -> tuple[Any, Tensor]:
    """Loss of a minibatch and its gradient with respect to the representations.

    Parameters
    ----------
    module
        The module. Its parameters receive no gradient.
    batch
        A minibatch of n cells.
    representation
        Shape ``(n, n_representation)``.
    objective
        Objective of the minibatch; that of the module by default.
    """
    with frozen(module), torch.enable_grad():
        leaf = representation.detach().requires_grad_()
        output = (objective or module.objective)(batch, leaf)
        (gradient,) = torch.autograd.grad(output.loss, leaf)
    return output, gradient


def cell_losses(
    module: MultiDGDModule, batch: dict[str, Any], representation: Tensor
) -> tuple[Tensor, Tensor]:
    """Negative log posterior of each cell (nats) and its gradient.

    Parameters
    ----------
    module, batch, representation
        As for :func:`frozen_gradient`.

    Returns
    -------
    Shapes ``(n,)`` and ``(n, n_representation)``.
    """
    output, gradient = frozen_gradient(module, batch, representation)
    terms = [*output.reconstruction_loss.values(), *output.kl_local.values()]
    return torch.stack(terms).sum(0).detach(), gradient
