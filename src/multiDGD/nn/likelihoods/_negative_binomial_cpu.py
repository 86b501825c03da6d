"""Negative binomial of a minibatch in one compiled pass, for float32 on a CPU.

Equivalent to :meth:`Terms.evaluate`, which takes a dozen passes over memory and the slower
``log1p`` of a mathematical library.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import torch
from torch import Tensor

from ._minibatch import Minibatch


@cache
def _kernel() -> Callable[..., None]:
    from ._numba_kernels import compile_evaluate_rows  # importing numba takes a while

    return compile_evaluate_rows()


@cache
def _pool(n_threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(n_threads)


# The threads of a pool do not exist in a forked process.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)


def can_evaluate_on_cpu(batch: Minibatch) -> bool:
    """Whether the compiled pass supports a minibatch: float32 (or bfloat16 logits) on a CPU."""
    return (
        batch.logits_nf.device.type == "cpu"
        and batch.is_float32
        and os.environ.get("NUMBA_DISABLE_JIT", "0") == "0"
    )


def evaluate_on_cpu(batch: Minibatch, scale_f: Tensor) -> Tensor:
    """Fill the buffers of a minibatch, with as many threads as torch uses.

    Parameters
    ----------
    batch
        The minibatch; its shift is the bias minus ``log(scale_f)``.
    scale_f
        The dispersions r, shape ``(f,)``.

    Returns
    -------
    Weighted sum over cells of the derivative with respect to r, shape ``(f,)``.
    """
    n, counts = len(batch.library_n), batch.counts
    logits, gradient = batch.logits_nf, batch.gradient_nf
    inputs = [
        _array(x)
        for x in (logits, batch.shift_f, scale_f, batch.library_n, batch.weight_n, batch.indptr)
        + (counts.columns, batch.values, batch.value_n)
    ]
    gradient_array = _array(logits if gradient is None else gradient)
    n_threads = max(1, min(torch.get_num_threads(), n))
    by_scale = scale_f.new_zeros(n_threads, len(scale_f))
    ends = np.linspace(0, n, n_threads + 1).astype(int)

    def evaluate_part(k: int) -> None:
        sums = by_scale[k].numpy()
        _kernel()(ends[k], ends[k + 1], *inputs, sums, gradient_array, gradient is not None)

    if n_threads == 1:
        evaluate_part(0)
    else:
        list(_pool(n_threads).map(evaluate_part, range(n_threads)))
    return by_scale.sum(0)


def _array(x: Tensor | None) -> np.ndarray:
    assert x is not None
    x = x.detach().contiguous()
    return x.view(torch.uint16).numpy() if x.dtype == torch.bfloat16 else x.numpy()
