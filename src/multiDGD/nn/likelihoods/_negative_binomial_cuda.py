"""Negative binomial of a minibatch in a few Triton kernels, for float32 on a CUDA device.

Equivalent to :meth:`Terms.evaluate`, which launches some dozens of kernels. On data of the usual
size, the device would wait for each launch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from multiDGD.nn._counts import Counts

from ._minibatch import Minibatch


@cache
def _kernels() -> Callable[..., None] | None:
    """Return the Triton implementation, or `None` if Triton is missing or fails to compile it."""
    try:
        from ._triton_kernels import evaluate_minibatch

        one = torch.ones(1, device="cuda")
        x = Counts.from_dense(one[:, None])
        evaluate_minibatch(
            Minibatch(
                *(x, one[:, None].clone(), one, one, one, one, one.clone(), one[:, None].clone())
            ),
            *(one, one.clone(), True),
        )
    # The possible errors depend on the machine.
    except Exception:  # noqa: BLE001
        return None
    return evaluate_minibatch


def can_evaluate_on_cuda(batch: Minibatch) -> bool:
    """Whether the kernels support a minibatch, and Triton can compile them."""
    return (
        batch.logits_nf.device.type == "cuda"
        and batch.is_float32
        and len(batch.library_n) > 0  # the grid of a kernel must not be empty
        # Atomic additions sum in no fixed order.
        and not torch.are_deterministic_algorithms_enabled()
        and _kernels() is not None
    )


def evaluate_on_cuda(batch: Minibatch, scale_f: Tensor, learned: bool) -> Tensor:
    """Fill the buffers of a minibatch.

    Parameters
    ----------
    batch
        The minibatch; its shift is the bias minus ``log(scale_f)``.
    scale_f
        The dispersions r, shape ``(f,)``.
    learned
        Whether to compute derivatives with respect to r.

    Returns
    -------
    Weighted sum over cells of the derivative with respect to r, shape ``(f,)``.
    """
    evaluate_minibatch = _kernels()
    assert evaluate_minibatch is not None
    by_scale_f = torch.zeros_like(scale_f)
    with torch.cuda.device(scale_f.device):  # Triton launches kernels on the current device
        evaluate_minibatch(batch, scale_f, by_scale_f, learned)
    return by_scale_f
