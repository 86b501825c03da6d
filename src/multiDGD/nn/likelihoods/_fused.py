"""The negative binomial's rows in one compiled pass, for float32 on a CPU.

Equal to the evaluation in blocks, which takes a dozen passes over memory and the rather slow
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

from ._rows import Rows


@cache
def _rows() -> Callable[..., None]:
    from ._compiled import compile_rows  # numba takes a while to import

    return compile_rows()


@cache
def _pool(n_threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(n_threads)


def can_evaluate(rows: Rows) -> bool:
    """Whether a minibatch is what was compiled for: float32 (or bfloat16 logits), on a CPU."""
    return (
        rows.logits_nf.device.type == "cpu"
        and rows.is_float32
        and os.environ.get("NUMBA_DISABLE_JIT", "0") == "0"
    )


def evaluate(rows: Rows, scale_f: Tensor) -> Tensor:
    """Fill what is wanted of the rows, by as many threads as torch uses.

    Parameters
    ----------
    rows
        The minibatch, with the shift less ``log(scale_f)``.
    scale_f
        The dispersions r, shape ``(f,)``.

    Returns
    -------
    Weighted sum over cells of the derivative by r, shape ``(f,)``.
    """
    n, counts = len(rows.library_n), rows.counts
    logits, gradient = rows.logits_nf, rows.gradient_nf
    inputs = [
        _array(x)
        for x in (logits, rows.shift_f, scale_f, rows.library_n, rows.weight_n, rows.start)
        + (counts.columns, rows.values, rows.value_n)
    ]
    where = _array(logits if gradient is None else gradient)
    n_threads = max(1, min(torch.get_num_threads(), n))
    by_scale = torch.zeros(n_threads, len(scale_f))
    ends = np.linspace(0, n, n_threads + 1).astype(int)

    def part(k: int) -> None:
        sums = by_scale[k].numpy()
        _rows()(ends[k], ends[k + 1], *inputs, sums, where, gradient is not None)

    if n_threads == 1:
        part(0)
    else:
        list(_pool(n_threads).map(part, range(n_threads)))
    return by_scale.sum(0)


def _array(x: Tensor | None) -> np.ndarray:
    assert x is not None
    x = x.detach().contiguous()
    return x.view(torch.uint16).numpy() if x.dtype == torch.bfloat16 else x.numpy()
